// Signs or verifies one case per input line with the public standardwebhooks package; answers one line each.
const { createRequire } = require('node:module');
const path = require('node:path');
const readline = require('node:readline');

const fromExamples = createRequire(path.join(__dirname, '../../examples/node/package.json'));
const { Webhook } = fromExamples('standardwebhooks');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { secret, id, timestamp, body, signature } = JSON.parse(line);
  const webhook = new Webhook(secret);
  let verified = false;
  try {
    webhook.verify(body, { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signature });
    verified = true;
  } catch (error) {
    verified = false;
  }
  const signed = webhook.sign(id, new Date(timestamp * 1000), body);
  console.log(JSON.stringify({ verified, signed }));
});
