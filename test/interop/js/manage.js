// Does with twins, methods, queries, configurations and jobs what applications do,
// with the official service SDK. The devices pump and lamp and the edge device site
// are registered; pump is connected and answers the method echo.
// usage: manage.js SERVICE_CONNECTION_STRING
// Prints one line of JSON per step: {"step": name, "value": …} or
// {"step": name, "error": class, "text": message}.
'use strict';
const { Registry, Client, JobClient, Twin } = require('azure-iothub');

async function main([connectionString]) {
  const registry = Registry.fromConnectionString(connectionString);
  const client = Client.fromConnectionString(connectionString);
  const jobs = JobClient.fromConnectionString(connectionString);

  async function step(name, run) {
    try {
      console.log(JSON.stringify({ step: name, value: await run() }));
    } catch (err) {
      console.log(JSON.stringify({ step: name, error: err.name, text: err.message }));
    }
  }
  const body = async (call) => (await call).responseBody;
  const status = async (call) => (await call).jobStatus;
  // What a hub does by itself takes a moment.
  async function until(read, good) {
    for (const end = Date.now() + 15000; ;) {
      const got = await read();
      if (good(got) || Date.now() > end) return got;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
  const names = (list) => list.map((t) => t.deviceId + (t.moduleId ? '/' + t.moduleId : ''));
  async function all(query) {
    const pages = [];
    // As a promise, next does not go on by itself.
    while (query.hasMoreResults) pages.push((await query.next(query.continuationToken)).result);
    return pages;
  }

  // Twins
  let twin;
  await step('twin', async () => {
    twin = await body(registry.getTwin('pump'));
    return [twin instanceof Twin, twin.etag.length, twin.properties.reported.ready];
  });
  await step('update twin', async () => {
    const t = (await twin.update({ tags: { site: 'north', n: 1 }, properties: { desired: { speed: 5 } } })).responseBody || twin;
    return [t.tags, t.properties.desired.speed, t.properties.desired.$version];
  });
  await step('update twin, stale', () => registry.updateTwin('pump', { tags: { n: 2 } }, 'c3RhbGU='));
  await step('update twin, any', async () => (await body(registry.updateTwin('lamp', { tags: { site: 'north', n: 2 } }, '*'))).tags);
  await step('twin of nobody', () => registry.getTwin('nobody'));
  await step('module twin', async () => (await body(registry.updateModuleTwin('site', '$edgeHub', { tags: { a: 1 } }, '*'))).tags);

  // Queries
  await step('query in pages', async () => (await all(registry.createQuery('SELECT * FROM devices', 2))).map(names));
  await step('query as twins', async () => {
    const found = (await registry.createQuery("SELECT * FROM devices WHERE tags.site = 'north' AND tags.n > 1").nextAsTwin()).result;
    return [found.length, found[0] instanceof Twin, found[0].deviceId];
  });
  await step('query of some', async () => (await registry.createQuery('SELECT deviceId, tags.n AS n FROM devices WHERE is_defined(tags.n)').next()).result);
  await step('query of groups', async () => (await registry.createQuery('SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site').next()).result);
  await step('query of modules', async () => names((await registry.createQuery('SELECT * FROM devices.modules').next()).result));
  await step('query of connected', async () => (await registry.createQuery("SELECT deviceId FROM devices WHERE connectionState = 'Connected'").next()).result);
  await step('wrong query', () => registry.createQuery('SELECT * FROM devices WHERE').next());

  // Methods
  const echo = { methodName: 'echo', payload: { a: [1, 'ü'] }, responseTimeoutInSeconds: 15 };
  await step('method', async () => (await client.invokeDeviceMethod('pump', echo)).result);
  await step('method of nobody', () => client.invokeDeviceMethod('nobody', echo));
  await step('method of one that is away', () => client.invokeDeviceMethod('lamp', echo));

  // Bulk, with twins
  await step('add with tags', async () => body(registry.addDevices([{ deviceId: 'new-1', tags: { site: 'south' } }, { deviceId: 'new-2', tags: { site: 'south' } }])));
  await step('find them', async () => names((await registry.createQuery("SELECT * FROM devices WHERE tags.site = 'south'").next()).result));

  // Configurations
  const slow = { id: 'slow', schemaVersion: '1.0', targetCondition: "tags.site = 'north'", priority: 10,
    content: { deviceContent: { 'properties.desired.interval': 60 } }, labels: { by: 'me' },
    metrics: { queries: { slow: 'SELECT deviceId FROM devices WHERE properties.desired.interval = 60' } } };
  await step('add configuration', async () => (await body(registry.addConfiguration(slow))).etag);
  await step('add configuration again', () => registry.addConfiguration(slow));
  await step('it applies', () => until(
    async () => (await body(registry.getConfiguration('slow'))),
    (c) => c.systemMetrics.results.appliedCount === 2 && c.metrics.results.slow === 2,
  ).then((c) => [c.systemMetrics.results, c.metrics.results, c.labels]));
  await step('to the twin', async () => {
    const t = await body(registry.getTwin('lamp'));
    return [t.properties.desired.interval, t.configurations];
  });
  await step('change configuration', async () => {
    const c = await body(registry.getConfiguration('slow'));
    return (await body(registry.updateConfiguration({ ...c, priority: 11 }))).priority;
  });
  await step('change configuration, stale', () => registry.updateConfiguration({ ...slow, etag: 'c3RhbGU=' }));
  await step('list configurations', async () => (await body(registry.getConfigurations())).map((c) => c.id));
  await step('remove configuration', async () => (await registry.removeConfiguration('slow')).httpResponse.statusCode);
  await step('get configuration', () => registry.getConfiguration('slow'));
  await step('modules of one device', async () => {
    await registry.applyConfigurationContentOnDevice('site', { modulesContent: {
      $edgeHub: { 'properties.desired': { routes: { up: 'FROM /* INTO $upstream' } } }, filter: { 'properties.desired': { level: 1 } } } });
    return [(await body(registry.getModuleTwin('site', '$edgeHub'))).properties.desired.routes, (await body(registry.getModule('site', 'filter'))).managedBy];
  });
  await step('modules of no edge device', () => registry.applyConfigurationContentOnDevice('lamp', { modulesContent: {} }));

  // Jobs
  const ended = (id) => until(() => status(jobs.getJob(id)), (j) => ['completed', 'failed', 'cancelled'].includes(j.status));
  await step('schedule twins', async () => (await status(jobs.scheduleTwinUpdate('twins', "tags.site = 'north'", { etag: '*', tags: { job: 1 } }, new Date(), 300))).type);
  await step('twins are changed', async () => {
    const j = await ended('twins');
    return [j.status, j.deviceJobStatistics, names((await registry.createQuery('SELECT * FROM devices WHERE tags.job = 1').next()).result)];
  });
  await step('schedule a method', async () => (await status(jobs.scheduleDeviceMethod('method', "deviceId IN ['pump', 'lamp']", echo, new Date(), 300))).type);
  await step('it is called', async () => {
    const j = await ended('method');
    return [j.status, j.deviceJobStatistics];
  });
  await step('what became of it', async () => {
    const rows = (await registry.createQuery("SELECT * FROM devices.jobs WHERE jobId = 'method'").next()).result;
    return rows.map((r) => [r.deviceId, r.status, r.outcome && r.outcome.deviceMethodResponse, r.error && r.error.code]);
  });
  await step('schedule for later', async () => (await status(jobs.scheduleTwinUpdate('later', '*', { tags: {} }, new Date(Date.now() + 3600000), 300))).status);
  await step('cancel', async () => (await status(jobs.cancelJob('later'))).status);
  await step('schedule again', () => jobs.scheduleTwinUpdate('later', '*', { tags: {} }, new Date(), 300));
  await step('list jobs', async () => (await all(jobs.createQuery('scheduleUpdateTwin'))).flat().map((j) => [j.jobId, j.status]));
  await step('job that is not there', () => jobs.getJob('nothing'));
}

main(process.argv.slice(2)).then(() => process.exit(0), (err) => {
  console.error(err);
  process.exit(1);
});
