// An agent with a tool, three questions at a time: every call of the model is traced by one line.
//
//     npm install mlflow-trace @anthropic-ai/sdk
//     ANTHROPIC_API_KEY=... node agent.mjs
//
// The trace of a question has the agent, its two calls of the model and the tool between them. Without a server it is
// written to `mlflow-traces/`; set MLFLOW_TRACKING_URI to send it to one.
import Anthropic from '@anthropic-ai/sdk';
import * as mlflow from 'mlflow-trace';
import { tracedAnthropic } from 'mlflow-trace/anthropic';

const client = tracedAnthropic(new Anthropic());
const REQUEST = {
  model: 'claude-sonnet-4-5',
  max_tokens: 1024,
  tools: [
    {
      name: 'get_weather',
      description: 'Weather of a city today',
      input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  ],
};

const getWeather = mlflow.trace(
  async (city) => {
    const weather = { Tokyo: 'sunny', Paris: 'rainy', Sydney: 'windy' };
    await new Promise((resolve) => setTimeout(resolve, 10));
    return weather[city] ?? 'unknown';
  },
  { name: 'get_weather', spanType: 'TOOL' },
);

const answer = mlflow.trace(
  async (question) => {
    const messages = [{ role: 'user', content: question }];
    const { content } = await client.messages.create({ ...REQUEST, messages });
    const results = [];
    for (const { type, id, input } of content) {
      if (type === 'tool_use') {
        results.push({ type: 'tool_result', tool_use_id: id, content: await getWeather(input.city) });
      }
    }
    messages.push({ role: 'assistant', content }, { role: 'user', content: results });
    const reply = await client.messages.create({ ...REQUEST, messages });
    return reply.content.at(-1).text;
  },
  { name: 'answer', spanType: 'AGENT' },
);

const cities = ['Tokyo', 'Paris', 'Sydney'];
for (const text of await Promise.all(
  cities.map((city) => answer(`What is the weather like in ${city} today?`)),
)) {
  console.log(text);
}
