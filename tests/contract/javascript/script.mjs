// A script for Amazon Personalize as its users write it: only `endpoint` and `credentials` tell where it runs.
// Arguments: endpoint, access key id, secret, name of a campaign. Prints what it saw as one line of JSON.
import { CreateFilterCommand, DeleteFilterCommand, PersonalizeClient, paginateListFilters } from "@aws-sdk/client-personalize";
import { PersonalizeEventsClient, PutActionInteractionsCommand } from "@aws-sdk/client-personalize-events";
import { GetActionRecommendationsCommand, PersonalizeRuntimeClient, ResourceNotFoundException } from "@aws-sdk/client-personalize-runtime";

const [endpoint, accessKeyId, secretAccessKey, name] = process.argv.slice(2);
const settings = { endpoint, region: "us-east-1", credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 };
const control = new PersonalizeClient(settings);
const events = new PersonalizeEventsClient(settings);
const runtime = new PersonalizeRuntimeClient(settings);
const arn = (kind, resource) => `arn:aws:personalize:us-east-1:000000000000:${kind}/${resource}`;

const recommend = async (campaign, more = {}) => {
  const input = { campaignArn: arn("campaign", campaign), userId: "jo", ...more };
  return runtime.send(new GetActionRecommendationsCommand(input));
};

await events.send(new PutActionInteractionsCommand({
  trackingId: name,
  actionInteractions: ["join-club", "get-app"].map((actionId, index) => ({
    actionId, userId: "jo", sessionId: "s1", timestamp: new Date(Date.now() - 86_400_000 * (index + 1)), eventType: "Taken",
  })),
}));
const { filterArn } = await control.send(new CreateFilterCommand({
  name: `${name}-js`, datasetGroupArn: arn("dataset-group", name),
  filterExpression: 'EXCLUDE ActionID WHERE Actions.ACTION_ID IN ($ACTIONS)',
}));
const filters = [];
for await (const page of paginateListFilters({ client: control, pageSize: 1 }, { datasetGroupArn: arn("dataset-group", name) })) {
  filters.push(...page.Filters.map((filter) => filter.name));
}
const all = await recommend(name);
const filtered = await recommend(name, { filterArn, filterValues: { ACTIONS: '"get-app"' } });
const refused = await recommend("nobody-made-this").then(() => null, (error) => error);
const forged = await new PersonalizeRuntimeClient({ ...settings, credentials: { accessKeyId, secretAccessKey: "wrong" } })
  .send(new GetActionRecommendationsCommand({ campaignArn: arn("campaign", name), userId: "jo" }))
  .then(() => null, (error) => error);
await control.send(new DeleteFilterCommand({ filterArn }));
console.log(JSON.stringify({
  actions: all.actionList.map((entry) => entry.actionId),
  scores: all.actionList.map((entry) => entry.score),
  recommendationId: all.recommendationId,
  filtered: filtered.actionList.map((entry) => entry.actionId),
  filters,
  typed: refused instanceof ResourceNotFoundException,
  status: refused.$metadata.httpStatusCode,
  message: refused.message,
  forged: forged.name,
}));
