// Headless Chromium, by the driver that the Node package's tests have.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../bindings/node/package.json', import.meta.url));
const puppeteer = require('puppeteer-core');

export function launch() {
  // Chromium has no sandbox of its own for root, and in containers.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return puppeteer.launch({ executablePath, args, headless: true });
}
