let epoch = 0;

/** To be called when a new engine took over: it does not know the spans that are open. */
export function startEpoch(): void {
  epoch++;
}

/** Number of the engine that hears of what starts now. */
export function currentEpoch(): number {
  return epoch;
}
