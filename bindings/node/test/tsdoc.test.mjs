import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const integrations = readdirSync(new URL('../entries/', import.meta.url));
const entries = [
  'index.d.mts',
  'otel.d.mts',
  ...integrations.filter((name) => name.endsWith('.d.mts')).map((name) => `entries/${name}`),
].map((name) => fileURLToPath(new URL(`../${name}`, import.meta.url)));

/** Forms of JSON and of OpenTelemetry's, whose members are named and described by others. */
const FOREIGN = /Json$|^Otel(Span|Event)$/;

test('every public name and member says what it is', () => {
  const program = ts.createProgram(entries, {
    module: ts.ModuleKind.Node20,
    types: ['node'],
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const silent = [];
  const look = (symbol, name) => {
    const declarations = symbol.getDeclarations() ?? [];
    // Members that come from elsewhere, such as those of Error, are documented there.
    if (
      declarations.length === 0 ||
      declarations.every((each) => each.getSourceFile().fileName.includes('node_modules'))
    ) {
      return;
    }
    const isPrivate = declarations.some(
      (each) => ts.getCombinedModifierFlags(each) & ts.ModifierFlags.Private,
    );
    if (isPrivate) return;
    if (symbol.getDocumentationComment(checker).length === 0) silent.push(name);
  };
  for (const entry of entries) {
    for (const alias of checker.getExportsOfModule(
      checker.getSymbolAtLocation(program.getSourceFile(entry)),
    )) {
      const symbol = alias.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(alias) : alias;
      look(symbol, alias.name);
      if (FOREIGN.test(alias.name)) continue;
      if (!(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))) continue;
      for (const member of symbol.members?.values() ?? []) {
        if (!/^(__constructor|__call|__@)/.test(member.name)) look(member, `${alias.name}.${member.name}`);
      }
    }
  }
  assert.deepEqual(silent, []);
});
