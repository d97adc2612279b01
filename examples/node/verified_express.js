// An Express receiver that answers only to webhooks Offhook signed, and does each event's work once.
// WEBHOOK_SECRET holds your webhook secret; while you replace it, the new and the old one, with a space between.
const express = require('express');
const { Webhook } = require('standardwebhooks');

const secrets = (process.env.WEBHOOK_SECRET || '').split(/\s+/).filter(Boolean);
if (secrets.length === 0) {
  console.error('Set WEBHOOK_SECRET to your webhook secret (whsec_...).');
  process.exit(1);
}
const webhooks = secrets.map((secret) => new Webhook(secret));

// Enough for one process; with several, keep the ids in your database beside the work.
const MAX_REMEMBERED = 100000;
const done = new Set();

function verify(body, headers) {
  for (const webhook of webhooks) {
    try {
      return webhook.verify(body, headers);
    } catch (error) {
      // Another secret may fit.
    }
  }
  return null;
}

function remember(id) {
  done.add(id);
  if (done.size > MAX_REMEMBERED) {
    done.delete(done.values().next().value);
  }
}

const app = express();

// The raw body is what was signed: express.json() would lose it.
app.post('/voipbin/webhook', express.raw({ type: '*/*', limit: '1mb' }), (req, res) => {
  const event = Buffer.isBuffer(req.body) ? verify(req.body, req.headers) : null;
  if (event === null) {
    res.status(400).json({ reason: 'NOT_VERIFIED' });
    return;
  }
  const id = req.headers['webhook-id'];
  if (!done.has(id)) {
    workOn(event);
    remember(id); // only now: had the work failed, the next attempt must not count as a duplicate
  }
  res.status(200).json({ status: 'received' });
});

// Keep this short: Offhook waits five seconds. Hand longer work to a queue of your own.
function workOn({ type, data }) {
  switch (type) {
    case 'call_hungup':
      console.log(`Call ${data.id} ended: ${data.hangup_reason}`);
      break;
    case 'message_created':
      console.log(`Message from ${data.source.target}: ${data.text}`);
      break;
    case 'recording_updated':
      console.log(`Recording ${data.id} status: ${data.status}`);
      break;
    default:
      console.log(`Event ${type}`);
  }
}

const port = Number(process.env.PORT || 5000);
app.listen(port, process.env.HOST || '127.0.0.1', () => {
  console.log(`Webhook server listening on port ${port}`);
});
