// The fake provider, as a process that ends with this one: when nobody holds its standard input any more.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = `
import sys
sys.path.insert(0, sys.argv[1])
import fake_providers
with fake_providers.running() as url:
    print(url, flush=True)
    sys.stdin.read()
`;

/** Its URL. */
export async function startProvider() {
  const directory = fileURLToPath(new URL('../..', import.meta.url));
  const child = spawn('python3', ['-B', '-c', PROGRAM, directory], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const [url] = await once(createInterface(child.stdout), 'line');
  for (const each of [child, child.stdin, child.stdout]) each.unref();
  return url;
}
