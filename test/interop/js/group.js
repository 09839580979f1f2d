// One of several consumers of a group, which share the partitions among them, with
// Event Hubs' SDK. Ownership and checkpoints are kept in a file, as others keep
// them in a storage account.
//
//   node group.js CONNECTION_STRING GROUP FILE
//
// Prints {"partition","event"} for each event, before its checkpoint is written,
// {"owns":partition} and {"closed":partition,"reason"}.
const fs = require('fs');
const crypto = require('crypto');
const { EventHubConsumerClient } = require('@azure/event-hubs');
const [connectionString, group, file] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

// A FileStore is a checkpoint store in a file that is replaced as a whole.
class FileStore {
  read() {
    try { return JSON.parse(fs.readFileSync(file, 'utf8')); } catch (err) {
      if (err.code !== 'ENOENT') throw err;
      return { ownership: {}, checkpoints: {} };
    }
  }
  // change is atomic for one process; two that claim at once meet again at the next turn.
  change(f) {
    const all = this.read();
    const result = f(all);
    const temporary = `${file}.${process.pid}`;
    fs.writeFileSync(temporary, JSON.stringify(all));
    fs.renameSync(temporary, file);
    return result;
  }
  async listOwnership() { return Object.values(this.read().ownership); }
  async claimOwnership(wanted) {
    return this.change((all) => wanted.filter((o) => (all.ownership[o.partitionId]?.etag ?? undefined) === o.etag).map((o) => {
      const mine = { ...o, etag: crypto.randomUUID(), lastModifiedTimeInMs: Date.now() };
      all.ownership[o.partitionId] = mine;
      return mine;
    }));
  }
  async updateCheckpoint(c) { this.change((all) => { all.checkpoints[c.partitionId] = c; }); }
  async listCheckpoints() { return Object.values(this.read().checkpoints); }
}

const client = new EventHubConsumerClient(group, connectionString, new FileStore(), {
  loadBalancingOptions: { strategy: 'greedy', updateIntervalInMs: 300, partitionOwnershipExpirationIntervalInMs: 3000 },
  retryOptions: { maxRetries: 1, retryDelayInMs: 100 },
});
client.subscribe({
  processInitialize: async (context) => say({ owns: context.partitionId }),
  processEvents: async (events, context) => {
    for (const event of events) {
      say({ partition: context.partitionId, event });
      await context.updateCheckpoint(event);
    }
  },
  processError: async (err) => say({ error: err.code || err.name, message: err.message }),
  processClose: async (reason, context) => say({ closed: context.partitionId, reason }),
}, { startPosition: { offset: '-1' }, maxWaitTimeInSeconds: 1 });
