// Polls for commands over HTTPS with the official device SDK, and prints each with
// what became of it: its text says how it is settled (reject, abandon once, else
// complete).
// usage: poll.js CONNECTION_STRING CA_FILE
'use strict';
const fs = require('fs');
const { Client } = require('azure-iot-device');
const { Http } = require('azure-iot-device-http');

const [connectionString, ca] = process.argv.slice(2);
const client = Client.fromConnectionString(connectionString, Http);
const abandoned = new Set();

function settled(what, text) {
  return (err) => console.log(err ? `failed ${err.name} ${err.message}` : `${what} ${text}`);
}

client.on('error', (err) => console.log('error', err.name, err.message));
client.on('message', (msg) => {
  const text = msg.getData().toString();
  console.log('command', text, msg.messageId, msg.properties.propertyList.map((p) => `${p.key}=${p.value}`).join());
  if (text === 'reject') return client.reject(msg, settled('rejected', text));
  if (text === 'abandon' && !abandoned.has(msg.messageId)) {
    abandoned.add(msg.messageId);
    return client.abandon(msg, settled('abandoned', text));
  }
  client.complete(msg, settled('completed', text));
});
// Over HTTP this takes effect and calls back only with a policy for receiving.
client.setOptions({ ca: fs.readFileSync(ca, 'utf8'), http: { receivePolicy: { interval: 1 } } }, () => {
  console.log('open');
});
