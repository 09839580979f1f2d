const fs = require('fs');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const [connectionString, rootFile, count] = process.argv.slice(2);

async function main() {
  const client = Client.fromConnectionString(connectionString, Mqtt);
  await client.setOptions({ ca: fs.readFileSync(rootFile, 'utf8') });
  await client.open();
  for (let n = 1; n <= Number(count); n++) {
    await client.sendEvent(new Message(JSON.stringify({ n, temperature: 20 + Math.random() })));
  }
  await client.close();
  console.log(`${count} messages acknowledged by the gateway`);
}

main().catch((err) => { console.error(err.message); process.exit(1); });
