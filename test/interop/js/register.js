// Registers an edge device and leaves below it, with the official service SDK.
// usage: register.js SERVICE_CONNECTION_STRING EDGE LEAF…
// Prints one line of JSON: {"edge": key, "leaves": {id: key, …}}.
'use strict';
const { Registry } = require('azure-iothub');

async function main([connectionString, edge, ...leaves]) {
  const registry = Registry.fromConnectionString(connectionString);
  const device = (await registry.create({ deviceId: edge, capabilities: { iotEdge: true } })).responseBody;
  const keys = {};
  for (const id of leaves) {
    const leaf = (await registry.create({ deviceId: id, deviceScope: device.deviceScope })).responseBody;
    keys[id] = leaf.authentication.symmetricKey.primaryKey;
  }
  console.log(JSON.stringify({ edge: device.authentication.symmetricKey.primaryKey, leaves: keys }));
}

main(process.argv.slice(2)).catch((err) => {
  console.error(err);
  process.exit(1);
});
