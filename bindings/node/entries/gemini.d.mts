export * from '../dist/gemini.js';
