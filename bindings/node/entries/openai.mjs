export { tracedOpenAI, untraced } from '../dist/openai.js';
