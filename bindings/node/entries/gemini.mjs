export { tracedGemini, untraced } from '../dist/gemini.js';
