/** What has to end although nobody may come to end it: its holder is forgotten, or the process is over. */
export interface Ending {
  end(): void;
}

const open = new Set<Ending>();
const forgotten = new FinalizationRegistry<Ending>((ending) => {
  ending.end();
});
let isExitAwaited = false;

/** Ends `ending`, which must not refer to `holder`, when nobody can reach that any more, or with the process. */
export function watch(ending: Ending, holder: object): void {
  forgotten.unregister(ending);
  forgotten.register(holder, ending, ending);
  endWithProcess(ending);
}

/** Ends `ending` with the process. */
export function endWithProcess(ending: Ending): void {
  open.add(ending);
  if (isExitAwaited) return;
  isExitAwaited = true;
  // Before what has ended is delivered for the last time.
  process.prependListener('exit', () => {
    for (const each of open) each.end();
  });
}

/** From now on, only the end of the process ends it: somebody waits for what the holder has given. */
export function release(ending: Ending): void {
  forgotten.unregister(ending);
}

/** To be called when it has ended. */
export function unwatch(ending: Ending): void {
  open.delete(ending);
  forgotten.unregister(ending);
}
