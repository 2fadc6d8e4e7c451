// The real clients, pointed at the fake provider.
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

export function makeClients(url) {
  return {
    openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'fake', maxRetries: 0 }),
    anthropic: new Anthropic({ baseURL: url, apiKey: 'fake', maxRetries: 0 }),
    google: new GoogleGenAI({ apiKey: 'fake', httpOptions: { baseUrl: url } }),
  };
}
