package tributary

import "slices"

// actions are the names that policies can have for what is done here.
var actions = [...]struct {
	service string // its signing name
	// operations are those of the service's front, also those that are not there
	// yet: a policy may come from AWS.
	operations []string
	// others are actions that AWS knows beside them, some without an operation.
	others []string
}{
	{
		service: "cognito-sync",
		operations: []string{
			"BulkPublish", "DeleteDataset", "DescribeDataset", "DescribeIdentityPoolUsage", "DescribeIdentityUsage",
			"GetBulkPublishDetails", "GetCognitoEvents", "GetIdentityPoolConfiguration", "ListDatasets", "ListIdentityPoolUsage",
			"ListRecords", "RegisterDevice", "SetCognitoEvents", "SetIdentityPoolConfiguration", "SubscribeToDataset",
			"UnsubscribeFromDataset", "UpdateRecords",
		},
		others: []string{"QueryRecords", "SetDatasetConfiguration"},
	},
	{
		service: "cognito-identity",
		operations: []string{
			"CreateIdentityPool", "DeleteIdentities", "DeleteIdentityPool", "DescribeIdentity", "DescribeIdentityPool",
			"GetCredentialsForIdentity", "GetId", "GetIdentityPoolRoles", "GetOpenIdToken", "GetOpenIdTokenForDeveloperIdentity",
			"GetPrincipalTagAttributeMap", "ListIdentities", "ListIdentityPools", "ListTagsForResource", "LookupDeveloperIdentity",
			"MergeDeveloperIdentities", "SetIdentityPoolRoles", "SetPrincipalTagAttributeMap", "TagResource", "UnlinkDeveloperIdentity",
			"UnlinkIdentity", "UntagResource", "UpdateIdentityPool",
		},
		others: []string{"GetIdentityPoolAnalytics", "GetIdentityPoolDailyAnalytics", "GetIdentityProviderDailyAnalytics"},
	},
	{
		service: "kinesis",
		operations: []string{
			"AcknowledgeDeadLetterQueueRecords", "AcknowledgeQueueRecords", "AddTagsToStream", "CreateChannel", "CreateQueue",
			"CreateStream", "DecreaseStreamRetentionPeriod", "DeleteChannel", "DeleteQueue", "DeleteResourcePolicy", "DeleteStream",
			"DeregisterStreamConsumer", "DescribeAccountSettings", "DescribeChannel", "DescribeLimits", "DescribeQueue",
			"DescribeStream", "DescribeStreamConsumer", "DescribeStreamSummary", "DisableEnhancedMonitoring",
			"EnableEnhancedMonitoring", "GetRecords", "GetResourcePolicy", "GetShardIterator", "IncreaseStreamRetentionPeriod",
			"ListChannels", "ListQueues", "ListShards", "ListStreamConsumers", "ListStreams", "ListTagsForResource",
			"ListTagsForStream", "MergeShards", "PutRecord", "PutRecords", "PutResourcePolicy", "ReceiveDeadLetterQueueRecords",
			"ReceiveQueueRecords", "RegisterStreamConsumer", "RemoveTagsFromStream", "RestoreDeadLetterQueueRecords", "SplitShard",
			"StartStreamEncryption", "StopStreamEncryption", "SubscribeToShard", "TagResource", "UntagResource",
			"UpdateAccountSettings", "UpdateChannel", "UpdateDeadLetterQueueRecordsVisibility", "UpdateMaxRecordSize", "UpdateQueue",
			"UpdateQueueRecordsVisibility", "UpdateShardCount", "UpdateStreamMode", "UpdateStreamRecordDistributionStrategy",
			"UpdateStreamWarmThroughput",
		},
	},
	{
		service:    "sts",
		operations: []string{"AssumeRoleWithWebIdentity", "GetCallerIdentity"},
		others: []string{
			"AssumeRole", "AssumeRoleWithSAML", "AssumeRoot", "DecodeAuthorizationMessage", "GetAccessKeyInfo",
			"GetDelegatedAccessToken", "GetFederationToken", "GetServiceBearerToken", "GetSessionToken", "GetWebIdentityToken",
			"SetContext", "SetSourceIdentity", "TagGetWebIdentityToken", "TagSession",
		},
	},
	{
		service: "tributary",
		operations: []string{
			"Backup", "CreateAccessKey", "CreateIdentity", "CreatePool", "DeleteAccessKey", "DescribePool", "DescribeStoreMove", "GetWebhookKey",
			"ListAccessKeys", "ListAudit", "MoveStore", "Query", "RenewPayloadLink", "RotateAccessKey", "SetPool", "UpdateAccessKey",
		},
	},
}

// Operations gives the names of a service's operations, in their order, by
// which policies know them. The fronts, which the domain does not see, have the
// same.
func Operations(service string) []string {
	for i := range actions {
		if actions[i].service == service {
			return slices.Clone(actions[i].operations)
		}
	}
	return nil
}
