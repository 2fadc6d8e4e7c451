import * as mlflow from '../../index.mjs';

export class Agent {
  constructor(readonly greeting: string) {}

  @mlflow.trace
  greet(name: string): string {
    return `${this.greeting} ${name}`;
  }

  @mlflow.trace({ name: 'find', spanType: mlflow.SpanType.RETRIEVER })
  async search(query: string, limit: number): Promise<string> {
    await null;
    return `${query}:${limit}`;
  }

  @mlflow.trace()
  static create(greeting: string): Agent {
    return new Agent(greeting);
  }
}
