export { enableAiSdk } from '../dist/ai-sdk.js';
