export { enableHttp } from '../dist/http.js';
