export { enableLangchain, MlflowCallbackHandler } from '../dist/langchain.js';
