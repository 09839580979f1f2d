// Finds the Event Hubs-compatible endpoint of a hub from its own connection string, as
// Microsoft's samples do: log in with SASL PLAIN, ask for messages/events, and be
// redirected. Prints {"hub":{"name"},"message":host,"sent":address}.
//
//   node redirect.js HOST POLICY KEY
const crypto = require('crypto');
const rhea = require('rhea');
const [host, policy, key] = process.argv.slice(2);

function token(resource) {
  const sr = encodeURIComponent(resource);
  const se = Math.floor(Date.now() / 1000) + 300;
  const sig = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}&skn=${policy}`;
}

const connection = rhea.create_container().connect({
  transport: 'tls', host, hostname: host, port: 5671, reconnect: false,
  username: `${policy}@sas.root.hub`, password: token(`${host}/messages/events`),
});
connection.on('receiver_error', ({ receiver: { error } }) => {
  if (error.condition !== 'amqp:link:redirect') throw error;
  const { hostname, address } = error.info;
  const [, entity] = address.match(/5671\/(.*)\/\$management/i);
  console.log(JSON.stringify({ hub: { name: entity }, message: hostname, sent: address }));
  connection.close();
});
connection.on('connection_error', ({ connection: { error } }) => { throw error; });
connection.open_receiver({ source: { address: `amqps://${host}/messages/events/$management` } });
