// The receiver of the webhook tutorial. It checks no signature; see verified_express.js for one that does.
const express = require('express');
const app = express();

app.use(express.json());

app.post('/voipbin/webhook', (req, res) => {
  const payload = req.body;
  const eventType = payload.type;

  console.log(`Received event: ${eventType}`);

  switch (eventType) {
    case 'call_hungup':
      handleCallHungup(payload.data);
      break;
    case 'message_created':
      handleMessageCreated(payload.data);
      break;
    case 'recording_updated':
      handleRecordingUpdated(payload.data);
      break;
    default:
      console.log(`Unknown event type: ${eventType}`);
  }

  // Acknowledge receipt
  res.status(200).json({ status: 'received' });
});

function handleCallHungup(data) {
  console.log(`Call ${data.id} ended`);
  // Your logic here
}

function handleMessageCreated(data) {
  console.log(`Message from ${data.source.target}: ${data.text}`);
  // Your logic here
}

function handleRecordingUpdated(data) {
  console.log(`Recording ${data.id} status: ${data.status}`);
  // Your logic here
}

const port = Number(process.env.PORT || 5000);
app.listen(port, process.env.HOST, () => {
  console.log(`Webhook server listening on port ${port}`);
});
