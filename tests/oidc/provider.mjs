// An OpenID Connect provider with passwords: `node provider.mjs PORT ACCOUNTS.json KEYS.json`. Accounts are read anew each time.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [port, accounts, keys, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const issuer = `http://127.0.0.1:${port}`;
const people = () => JSON.parse(readFileSync(accounts, 'utf8'));

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'madang',
      client_secret: 'the secret: of/madang+',
      redirect_uris: ['http://127.0.0.1:9/callback', 'http://127.0.0.1:9/api/v1/sign-in/openid/lab/callback'],
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    },
    {
      client_id: 'madang-public',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1:9/callback'],
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
    },
  ],
  jwks: JSON.parse(readFileSync(keys, 'utf8')),
  cookies: { keys: ['only for tests'] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email', 'email_verified'] },
  ttl: { AccessToken: 600, AuthorizationCode: 60, DeviceCode: 600, IdToken: 600, Grant: 600, Interaction: 600, Session: 600 },
  findAccount: (ctx, id) => {
    const found = people()[id];
    return found && !found.disabled ? { accountId: id, claims: () => ({ sub: id, ...found.claims }) } : undefined;
  },
});

// One page for everything: the form field `login` with `password` signs in, and whoever signs in consents.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.method === 'GET') {
    ctx.body = prompt.name;
    return undefined;
  }
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  let result;
  if (prompt.name === 'login') {
    const found = people()[form.get('login')];
    if (!found || found.password !== form.get('password')) {
      ctx.status = 401;
      ctx.body = 'wrong name or password';
      return undefined;
    }
    result = found.disabled
      ? { error: 'access_denied', error_description: 'this account is disabled' }
      : { login: { accountId: form.get('login') } };
  } else {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
