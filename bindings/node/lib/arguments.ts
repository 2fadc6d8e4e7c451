/** Where an argument of a call goes among a span's inputs. */
export interface Parameters {
  /** One name per declared parameter; undefined where it is a pattern without a name. */
  readonly names: readonly (string | undefined)[];
  /** Name of a rest parameter. */
  readonly rest: string | undefined;
}

const known = new WeakMap<object, Parameters | null>();

/**
 * Inputs of a call: `{parameter: value}`. An argument without a name of its own (a destructured parameter, one more than
 * declared) is called `arg0`, `arg1`, … by its position. Functions whose source cannot be read give the plain list.
 */
export function toInputs(fn: (...args: never[]) => unknown, args: readonly unknown[]): unknown {
  let parameters = known.get(fn);
  if (parameters === undefined) {
    parameters = readParameters(fn);
    known.set(fn, parameters);
  }
  if (parameters === null) return args;
  const { names, rest } = parameters;
  const inputs: Record<string, unknown> = {};
  const named = rest === undefined ? args.length : Math.min(args.length, names.length);
  for (let i = 0; i < named; i++) define(inputs, names[i] ?? `arg${i}`, args[i]);
  if (rest !== undefined) define(inputs, rest, args.slice(names.length));
  return inputs;
}

function define(inputs: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') {
    Object.defineProperty(inputs, name, { value, configurable: true, enumerable: true, writable: true });
  } else {
    inputs[name] = value;
  }
}

/** The declared parameters of a function; null where its source does not show them. */
export function readParameters(fn: (...args: never[]) => unknown): Parameters | null {
  try {
    const source = Function.prototype.toString.call(fn);
    return new ParameterReader(source).read();
  } catch {
    return null;
  }
}

const IDENTIFIER = /[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/uy;
/** After one of these a slash begins a regular expression; after anything else it divides. */
const BEFORE_EXPRESSION = new Set('([{,;=:?!&|+-*%~^<>'.split(''));
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** Reads a function's parameter list out of its source, skipping comments, strings, templates and nested brackets. */
class ParameterReader {
  private at = 0;

  constructor(private readonly source: string) {}

  read(): Parameters | null {
    if (/^class\b|\{\s*\[native code\]\s*\}\s*$/.test(this.source)) return null;
    this.skipSpace();
    const arrow = this.readBareArrow();
    if (arrow !== undefined) return { names: [arrow], rest: undefined };
    this.skipToParameters();
    return this.readList();
  }

  /** The parameter of `x => …` or `async x => …`. */
  private readBareArrow(): string | undefined {
    const begin = this.at;
    let name = this.readIdentifier();
    if (name === 'async') {
      this.skipSpace();
      name = this.readIdentifier() ?? name;
    }
    this.skipSpace();
    if (name !== undefined && this.source.startsWith('=>', this.at)) return name;
    this.at = begin;
    return undefined;
  }

  /** Goes behind the bracket that opens the list. A method's computed or quoted name may hold brackets of its own. */
  private skipToParameters(): void {
    for (;;) {
      this.skipSpace();
      const character = this.peek();
      if (character === '(') {
        this.at++;
        return;
      }
      if (character === '[') this.skipBrackets();
      else if (character === '"' || character === "'") this.skipString(character);
      else this.at++;
    }
  }

  private readList(): Parameters {
    const names: (string | undefined)[] = [];
    for (;;) {
      this.skipSpace();
      if (this.peek() === ')') return { names, rest: undefined };
      if (this.source.startsWith('...', this.at)) {
        this.at += 3;
        this.skipSpace();
        // A rest parameter that is a pattern has no name; its arguments are told by position.
        return { names, rest: this.readIdentifier() };
      }
      names.push(this.readIdentifier());
      this.skipToNext();
      if (this.peek() === ',') this.at++;
    }
  }

  /** Goes to the comma or bracket that ends a parameter. */
  private skipToNext(): void {
    let previous = ',';
    for (;;) {
      this.skipSpace();
      const character = this.peek();
      if (character === ',' || character === ')') return;
      this.skipToken(previous);
      previous = this.source[this.at - 1];
    }
  }

  private skipBrackets(): void {
    const closing = CLOSING[this.peek()];
    let previous = this.peek();
    this.at++;
    for (;;) {
      this.skipSpace();
      if (this.peek() === closing) {
        this.at++;
        return;
      }
      this.skipToken(previous);
      previous = this.source[this.at - 1];
    }
  }

  private skipToken(previous: string): void {
    const character = this.peek();
    if (character in CLOSING) this.skipBrackets();
    else if (character === '"' || character === "'") this.skipString(character);
    else if (character === '`') this.skipTemplate();
    else if (character === '/' && BEFORE_EXPRESSION.has(previous)) this.skipRegExp();
    else if (this.readIdentifier() === undefined) this.at++;
  }

  private skipString(quote: string): void {
    for (this.at++; this.peek() !== quote; this.at++) if (this.peek() === '\\') this.at++;
    this.at++;
  }

  private skipTemplate(): void {
    this.at++;
    while (this.peek() !== '`') {
      if (this.peek() === '\\') {
        this.at += 2;
      } else if (this.source.startsWith('${', this.at)) {
        this.at++;
        this.skipBrackets();
      } else {
        this.at++;
      }
    }
    this.at++;
  }

  private skipRegExp(): void {
    let isClass = false;
    for (this.at++; isClass || this.peek() !== '/'; this.at++) {
      if (this.peek() === '\\') this.at++;
      else if (this.peek() === '[') isClass = true;
      else if (this.peek() === ']') isClass = false;
    }
    this.at++;
  }

  private skipSpace(): void {
    for (;;) {
      if (this.source.startsWith('//', this.at)) this.skipPast('\n');
      else if (this.source.startsWith('/*', this.at)) this.skipPast('*/');
      else if (/\s/.test(this.source[this.at] ?? '')) this.at++;
      else return;
    }
  }

  private skipPast(text: string): void {
    const found = this.source.indexOf(text, this.at);
    if (found < 0) throw new SyntaxError('source ends early');
    this.at = found + text.length;
  }

  private readIdentifier(): string | undefined {
    IDENTIFIER.lastIndex = this.at;
    const name = IDENTIFIER.exec(this.source)?.[0];
    if (name !== undefined) this.at += name.length;
    return name;
  }

  /** The character here. Reading past the end means that this is not the source of a function. */
  private peek(): string {
    const character = this.source[this.at];
    if (character === undefined) throw new SyntaxError('source ends early');
    return character;
  }
}
