// The scripts of the page that `mlflow-trace view` writes: classic ones, which share one scope.
import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  {
    languageOptions: { sourceType: 'script', globals: globals.browser },
    rules: {
      // What another script uses, or has, is for the type check to know.
      'no-undef': 'off',
      'no-unused-vars': ['error', { vars: 'local' }],
      'no-redeclare': ['error', { builtinGlobals: false }],
    },
  },
];
