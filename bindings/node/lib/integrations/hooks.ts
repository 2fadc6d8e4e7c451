import { impersonate } from '../wrap.js';
import { guarded, reportOnce } from './guard.js';

/** Any function, as it is called on any object. */
export type AnyFunction = (this: unknown, ...args: never[]) => unknown;

/** How the calls of a client are traced. */
export interface TracedOptions {
  /** Records every chunk of a stream as an event of its span, besides the outputs that they make. Off by default. */
  chunkEvents?: boolean;
}

interface Replacement {
  readonly owner: object;
  readonly name: string;
  /** What the owner itself had; undefined where it inherits the method. */
  readonly own: PropertyDescriptor | undefined;
  readonly wrapper: AnyFunction;
}

/**
 * Methods of an object that are replaced on this one object, and put back. Classes stay as they are, and so does the object:
 * `instanceof`, private fields and identity are those of the library.
 */
export class Hooks {
  isOn = true;
  private replacements: Replacement[] = [];

  constructor(readonly options: TracedOptions = {}) {}

  get isEmpty(): boolean {
    return this.replacements.length === 0;
  }

  /**
   * Replaces the method that `path` leads to from `root`. `isPassing`: that is forgotten sooner than these hooks, and only
   * passes calls on once they are removed.
   */
  replace(
    root: unknown,
    path: string,
    wrap: (original: AnyFunction) => AnyFunction,
    { isPassing = false } = {},
  ): void {
    guarded(`the method ${path}`, () => {
      const names = path.split('.');
      const name = names.pop()!;
      const owner = names.reduce<unknown>(member, root);
      const original = member(owner, name);
      if (typeof original !== 'function') return;
      const own = Object.getOwnPropertyDescriptor(owner, name);
      const traced = wrap(original as AnyFunction);
      const hooks = this; // eslint-disable-line @typescript-eslint/no-this-alias -- the wrapper has a `this` of its own
      const wrapper = impersonate(function (this: unknown, ...args: never[]): unknown {
        // What is put back may still be held by somebody.
        return Reflect.apply(hooks.isOn ? traced : (original as AnyFunction), this, args);
      }, original as AnyFunction);
      const enumerable = own?.enumerable ?? false;
      Object.defineProperty(owner, name, { value: wrapper, configurable: true, writable: true, enumerable });
      if (!isPassing) this.replacements.push({ owner: owner as object, name, own, wrapper });
    });
  }

  /** Puts back what was replaced; what others have replaced since then only passes calls on. */
  remove(): void {
    this.isOn = false;
    for (const { owner, name, own, wrapper } of this.replacements) {
      guarded(`the end of ${name}`, () => {
        if (Object.getOwnPropertyDescriptor(owner, name)?.value !== wrapper) return;
        if (own === undefined) Reflect.deleteProperty(owner, name);
        else Object.defineProperty(owner, name, own);
      });
    }
    this.replacements = [];
  }
}

function member(object: unknown, name: string): unknown {
  return object === undefined || object === null ? undefined : (object as Record<string, unknown>)[name];
}

const clients = new WeakMap<object, Hooks>();

/** Hooks `client` with `install`, unless it already is. Never throws; gives `client`. */
export function tracedClient<T>(
  client: T,
  options: TracedOptions | undefined,
  install: (hooks: Hooks) => void,
): T {
  guarded('a client', () => {
    if (typeof client !== 'object' || client === null) throw new TypeError(`${typeof client} is no client`);
    if (clients.get(client)?.isOn === true) return;
    const hooks = new Hooks(options);
    install(hooks);
    if (hooks.isEmpty) reportOnce('a client is not traced', 'it has none of the methods that are known');
    else clients.set(client, hooks);
  });
  return client;
}

/** Stops tracing a client, and puts back its own methods. Gives `client`. Never throws. */
export function untraced<T>(client: T): T {
  if (typeof client === 'object' && client !== null) {
    clients.get(client)?.remove();
    clients.delete(client);
  }
  return client;
}

/** Has `withOptions`, with which a client makes another one of itself, give a traced one. */
export function followCopies(hooks: Hooks, client: unknown, traced: (copy: unknown) => unknown): void {
  hooks.replace(
    client,
    'withOptions',
    (original) =>
      function (this: unknown, ...args: never[]): unknown {
        return traced(Reflect.apply(original, this, args));
      },
  );
}
