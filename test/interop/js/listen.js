// Connects a device with the official device SDK and prints each command that
// comes: {"ready":true}, then {"got":{…}}. Property "do" of a command says how it is
// settled: complete (the default), reject or abandon.
//
//   node listen.js CONNECTION_STRING CA_FILE [mqtt | amqp]
const fs = require('fs');
const { Client } = require('azure-iot-device');
const [connectionString, ca, protocol = 'mqtt'] = process.argv.slice(2);
const transport = protocol === 'amqp' ? require('azure-iot-device-amqp').Amqp : require('azure-iot-device-mqtt').Mqtt;
const say = (line) => console.log(JSON.stringify(line));

async function main() {
  const client = Client.fromConnectionString(connectionString, transport);
  await client.setOptions({ ca: fs.readFileSync(ca, 'utf8') });
  client.on('error', (err) => { console.error(err); process.exit(1); });
  await client.open();
  client.on('message', async (m) => {
    const properties = {};
    for (const { key, value } of m.properties.propertyList) properties[key] = value;
    say({ got: {
      messageId: m.messageId, correlationId: m.correlationId, to: m.to, contentType: m.contentType,
      expiryTimeUtc: m.expiryTimeUtc, body: m.getData().toString(), properties,
    } });
    try {
      await client[properties.do || 'complete'](m);
    } catch (err) {
      if (protocol === 'amqp') { console.error(err); process.exit(1); } // MQTT can only complete
    }
  });
  // The SDK subscribes when it has a listener; a method tells that it has.
  await new Promise((resolve, reject) => client.getTwin((err) => (err ? reject(err) : resolve())));
  say({ ready: true });
}

main().catch((err) => { console.error(err); process.exit(1); });
