export { tracedAnthropic, untraced } from '../dist/anthropic.js';
