export { MlflowMastraExporter } from '../dist/mastra.js';
