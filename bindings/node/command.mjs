#!/usr/bin/env node
// The command `mlflow-trace`, see docs/command.md.
import { createRequire } from 'node:module';

const { native } = createRequire(import.meta.url)('./dist/native.js');
process.exitCode = native().runCommand(process.argv.slice(2));
