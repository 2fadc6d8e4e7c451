import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Settings of `createAuthProvider`. What is left out comes from the environment. */
export interface AuthProviderOptions {
  /** `http(s)://…`, `databricks` or `databricks://PROFILE` (`MLFLOW_TRACKING_URI`). */
  trackingUri?: string;
  /** User name of Basic authentication (`MLFLOW_TRACKING_USERNAME`). */
  trackingServerUsername?: string;
  /** Password of Basic authentication (`MLFLOW_TRACKING_PASSWORD`). */
  trackingServerPassword?: string;
  /** Bearer token (`MLFLOW_TRACKING_TOKEN`); user name and password win over it. */
  trackingServerToken?: string;
  /** Databricks workspace (`DATABRICKS_HOST`). */
  host?: string;
  /** Personal access token for it (`DATABRICKS_TOKEN`). */
  databricksToken?: string;
  /** File with profiles (`DATABRICKS_CONFIG_FILE`); `~/.databrickscfg` when left out. */
  databricksConfigPath?: string;
}

/** Tells how requests of one's own reach the server that traces go to. The engine does not need it. */
export interface AuthProvider {
  /** Base URL of the server, without a slash at its end and without credentials. */
  getHost(): string;
  /** Gives a function for the headers of a request; none where there are no credentials. */
  getHeadersProvider(): () => Promise<Record<string, string>>;
  /** The token for a Databricks workspace; undefined for other servers. */
  getDatabricksToken(): Promise<string | undefined>;
}

/** Where a credential comes from: name and password, a token, or a service principal that gets a token. */
interface Credentials {
  host: string;
  token?: string | undefined;
  username?: string | undefined;
  password?: string | undefined;
  clientId?: string | undefined;
  clientSecret?: string | undefined;
}

const DATABRICKS = /^databricks(?::\/\/(.*))?$/;
/** Tokens are replaced so long before they expire. */
const EARLY_MS = 60_000;

/**
 * Finds out where the server is and how to authenticate there, by the rules of the engine: see `docs/authentication.md`.
 * @throws Error when no tracking URI is known, it is malformed, or no Databricks workspace is.
 */
export function createAuthProvider(options: AuthProviderOptions = {}): AuthProvider {
  const trackingUri = options.trackingUri ?? process.env.MLFLOW_TRACKING_URI ?? '';
  const databricks = DATABRICKS.exec(trackingUri);
  const credentials =
    databricks === null ? ofServer(trackingUri, options) : ofDatabricks(databricks[1] ?? '', options);
  const token = tokenSource(credentials);
  return {
    getHost: () => credentials.host,
    getHeadersProvider: () => async (): Promise<Record<string, string>> => {
      const { username, password } = credentials;
      if (username !== undefined && password !== undefined) {
        const pair = Buffer.from(`${username}:${password}`).toString('base64');
        return { authorization: `Basic ${pair}` };
      }
      const bearer = await token();
      return bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
    },
    getDatabricksToken: async () => (databricks === null ? undefined : token()),
  };
}

function ofServer(trackingUri: string, options: AuthProviderOptions): Credentials {
  const { env } = process;
  if (!/^https?:\/\//.test(trackingUri) || !URL.canParse(trackingUri)) {
    throw new Error(`trackingUri: '${withoutCredentials(trackingUri)}' is no http(s) URL and not databricks`);
  }
  const url = new URL(trackingUri);
  const inUrl = url.username !== '' && url.password !== '';
  return {
    host: `${url.origin}${url.pathname}`.replace(/\/+$/, ''),
    username:
      orUndefined(options.trackingServerUsername ?? env.MLFLOW_TRACKING_USERNAME) ??
      (inUrl ? decodeURIComponent(url.username) : undefined),
    password:
      orUndefined(options.trackingServerPassword ?? env.MLFLOW_TRACKING_PASSWORD) ??
      (inUrl ? decodeURIComponent(url.password) : undefined),
    token: orUndefined(options.trackingServerToken ?? env.MLFLOW_TRACKING_TOKEN),
  };
}

function ofDatabricks(profile: string, options: AuthProviderOptions): Credentials {
  const { env } = process;
  const host = orUndefined(options.host ?? env.DATABRICKS_HOST);
  const found: Credentials | undefined =
    profile === '' && host !== undefined
      ? {
          host,
          token: orUndefined(options.databricksToken ?? env.DATABRICKS_TOKEN),
          clientId: orUndefined(env.DATABRICKS_CLIENT_ID),
          clientSecret: orUndefined(env.DATABRICKS_CLIENT_SECRET),
        }
      : ofProfile(orUndefined(profile) ?? orUndefined(env.DATABRICKS_CONFIG_PROFILE) ?? 'DEFAULT', options);
  if (found === undefined) {
    throw new Error('no Databricks workspace: set the option host, DATABRICKS_HOST or a profile with a host');
  }
  const { host: given } = found;
  return { ...found, host: (given.includes('://') ? given : `https://${given}`).replace(/\/+$/, '') };
}

function ofProfile(name: string, { databricksConfigPath }: AuthProviderOptions): Credentials | undefined {
  const path =
    databricksConfigPath ??
    orUndefined(process.env.DATABRICKS_CONFIG_FILE) ??
    join(homedir(), '.databrickscfg');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const values = new Map<string, string>();
  let section = '';
  for (const line of text.split('\n').map((each) => each.trim())) {
    const header = /^\[(.*)\]$/.exec(line);
    const pair = /^([^#;=]+)=(.*)$/.exec(line);
    if (header !== null) section = header[1].trim();
    else if (pair !== null && section === name) values.set(pair[1].trim(), pair[2].trim());
  }
  const host = orUndefined(values.get('host'));
  if (host === undefined) return undefined;
  return {
    host,
    token: orUndefined(values.get('token')),
    username: orUndefined(values.get('username')),
    password: orUndefined(values.get('password')),
    clientId: orUndefined(values.get('client_id')),
    clientSecret: orUndefined(values.get('client_secret')),
  };
}

/** What gives a token each time that one is needed. A service principal's is kept until it is about to expire. */
function tokenSource({
  host,
  token,
  clientId,
  clientSecret,
}: Credentials): () => Promise<string | undefined> {
  if (token !== undefined) return () => Promise.resolve(token);
  if (clientId === undefined || clientSecret === undefined) return () => Promise.resolve(undefined);
  let kept: { token: string; untilMs: number } | undefined;
  return async () => {
    if (kept === undefined || Date.now() >= kept.untilMs) {
      const reply = await fetch(`${host}/oidc/v1/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'all-apis' }),
      });
      if (!reply.ok) throw new Error(`${host} gives no token: HTTP ${reply.status}`);
      const answer = (await reply.json()) as { access_token: string; expires_in?: number };
      const seconds = answer.expires_in ?? 0;
      kept = { token: answer.access_token, untilMs: Date.now() + 1000 * seconds - EARLY_MS };
    }
    return kept.token;
  };
}

function orUndefined(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function withoutCredentials(uri: string): string {
  return uri.replace(/\/\/[^@/]*@/, '//');
}
