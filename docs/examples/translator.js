// A protocol translator in any language is a module that sends and takes the
// messages of docs/translators.md. This one has a field of one lamp.
const { ModuleClient, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const lamp = { id: 'lamp-1', on: false };
let client;

// send resolves when the gateway has the message on its disk. Only then may the
// field be told so.
function send(leaf, body, properties = {}, answers) {
  const message = new Message(JSON.stringify(body));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  if (answers) message.correlationId = answers;
  const all = { leafDeviceId: leaf, moduleId: process.env.IOTEDGE_MODULEID, ...properties };
  for (const [key, value] of Object.entries(all)) message.properties.add(key, value);
  return client.sendOutputEvent('ptm_output', message);
}

// take handles what the identity translation module has for a leaf.
async function take(message) {
  const property = (name) => message.properties.propertyList.find((p) => p.key === name)?.value;
  const leaf = property('leafDeviceId');
  switch (property('itmtype')) {
    case 'LeafMethod': {
      const known = property('methodName') === 'switch';
      if (known) lamp.on = JSON.parse(message.getData()).on;
      return send(leaf, known ? lamp : 'no such method', { itmtype: 'LeafResponse', status: known ? '200' : '404' }, message.messageId);
    }
    case 'LeafCommand':
      console.log(`${leaf} is told: ${message.getData()}`);
      return send(leaf, null, { itmtype: 'LeafResponse', settle: 'complete' }, message.messageId);
    case 'LeafDesired':
      console.log(`${leaf} is to be ${message.getData()}`);
      return send(leaf, { interval: JSON.parse(message.getData()).interval }, { itmtype: 'LeafReported' });
    case 'LeafState':
      return console.log(`${leaf} is ${property('state')} ${property('reason') || ''}`);
  }
}

async function main() {
  client = await ModuleClient.fromEnvironment(Mqtt);
  client.on('inputMessage', (input, message) => {
    take(message).catch(console.error);
    client.complete(message, () => {});
  });
  await client.open();
  await send(lamp.id, { methods: true, desired: true, commands: true }, { itmtype: 'LeafHello' });
  for (;;) {
    await send(lamp.id, lamp); // telemetry
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

main().catch((err) => { console.error(err); process.exit(1); });
