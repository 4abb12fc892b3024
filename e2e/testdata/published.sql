SELECT distinct temp.*, value FROM
(select distinct identityid, datasetname, key,
 max(synccount) over (partition by identityid, datasetname, key) as max_synccount
 FROM cognito_raw_data) as temp
INNER JOIN cognito_raw_data raw_data ON
(temp.identityid = raw_data.identityid and temp.datasetname = raw_data.datasetname and temp.key = raw_data.key and temp.max_synccount = raw_data.synccount)
WHERE raw_data.identityid = 'IDENTITY_ID'
AND raw_data.datasetname = 'DATASET_NAME'
AND op <> 'remove'
ORDER by datasetname, key
