"""What boto3 sees of the server. boto_test.go names the class to run and sets
the server, the region and the developer's key in AWS's own variables."""

import json
import time
import unittest
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# The server is to refuse what is wrong, not the client, and to do so at once.
UNCHECKED = Config(parameter_validation=False, retries={"max_attempts": 1, "mode": "standard"})

identity = boto3.client("cognito-identity", config=UNCHECKED)
developer = boto3.client("cognito-sync", config=UNCHECKED)
kinesis = boto3.client("kinesis", config=UNCHECKED)


def replace(key, value, count=0):
    return {"Op": "replace", "Key": key, "Value": value, "SyncCount": count}


class Walk(unittest.TestCase):
    """A new pool, a guest in it, and the guest's dataset."""

    maxDiff = 2000

    def setUp(self):
        self.pool = identity.create_identity_pool(IdentityPoolName="boto", AllowUnauthenticatedIdentities=True)["IdentityPoolId"]
        self.id, self.guest = self.new_guest()
        self.dataset = {"IdentityPoolId": self.pool, "IdentityId": self.id, "DatasetName": "notes"}

    def new_guest(self):
        who = identity.get_id(IdentityPoolId=self.pool)["IdentityId"]
        c = identity.get_credentials_for_identity(IdentityId=who)["Credentials"]
        return who, boto3.client("cognito-sync", config=UNCHECKED, aws_access_key_id=c["AccessKeyId"],
                                 aws_secret_access_key=c["SecretKey"], aws_session_token=c["SessionToken"])

    def token(self, **other):
        return self.guest.list_records(**(self.dataset | other))["SyncSessionToken"]

    def update(self, patches, **other):
        return self.guest.update_records(**(self.dataset | {"SyncSessionToken": self.token(**other), "RecordPatches": patches} | other))["Records"]

    def refused(self, code, status, text, call, **arguments):
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        r = caught.exception.response
        self.assertEqual((r["Error"]["Code"], r["ResponseMetadata"]["HTTPStatusCode"]), (code, status), r["Error"]["Message"])
        self.assertIn(text, r["Error"]["Message"])
        self.assertTrue(r["Error"]["Message"] and r["ResponseMetadata"]["RequestId"])
        return caught.exception

    def stream(self, name):
        kinesis.create_stream(StreamName=name, ShardCount=1)
        developer.set_identity_pool_configuration(IdentityPoolId=self.pool, CognitoStreams={
            "StreamName": name, "RoleArn": "arn:aws:iam::123456789012:role/streams", "StreamingStatus": "ENABLED"})

    def events(self, name):
        it = kinesis.get_shard_iterator(StreamName=name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        return [json.loads(r["Data"]) for r in kinesis.get_records(ShardIterator=it)["Records"]]


def pages(call, **arguments):
    """All pages of an operation that botocore has no paginator for."""
    token = {}
    while True:
        page = call(**arguments, **token)
        yield page
        if page.get("NextToken") is None:
            return
        token = {"NextToken": page["NextToken"]}


class Paging(Walk):
    def test_records(self):
        keys = [f"key-{n:03}" for n in range(250)]
        self.update([replace(k, k.upper()) for k in keys])
        seen = []
        for page in pages(self.guest.list_records, **self.dataset, LastSyncCount=0, MaxResults=100):
            self.assertEqual(page["Count"], len(page["Records"]))
            self.assertEqual(page["DatasetSyncCount"], 1)
            seen += [(r["Key"], r["Value"]) for r in page["Records"]]
        self.assertEqual(sorted(seen), [(k, k.upper()) for k in keys])

    def test_records_written_meanwhile(self):
        """What was there at the first page is listed; whoever goes on from the
        count that the last page tells misses nothing of what came after."""
        self.update([replace(f"key-{n:02}", "old") for n in range(30)])
        state, last = {}, None
        for last in pages(self.guest.list_records, **self.dataset, MaxResults=7):
            state |= {r["Key"]: r["Value"] for r in last["Records"]}
            if len(state) == 14:
                # A key that was listed, one that was not, and a new one.
                self.update([replace("key-00", "new", 1), replace("key-29", "new", 1), replace("key-30", "new")])
        for page in pages(self.guest.list_records, **self.dataset, LastSyncCount=last["DatasetSyncCount"], MaxResults=7):
            state |= {r["Key"]: r["Value"] for r in page["Records"]}
        want = {f"key-{n:02}": "old" for n in range(30)} | {"key-00": "new", "key-29": "new", "key-30": "new"}
        self.assertEqual(state, want)

    def test_everything_without_a_size(self):
        self.update([replace(f"key-{n}", "v") for n in range(1024)])
        page = self.guest.list_records(**self.dataset)
        self.assertEqual((len(page["Records"]), page.get("NextToken")), (1024, None))

    def test_datasets(self):
        names = [f"set-{n:02}" for n in range(20)]
        for name in names:
            self.update([replace("k", "v")], DatasetName=name)
        seen = [d["DatasetName"] for page in pages(self.guest.list_datasets, IdentityPoolId=self.pool, IdentityId=self.id, MaxResults=7) for d in page["Datasets"]]
        self.assertEqual(sorted(seen), names)
        self.assertEqual(self.guest.list_datasets(IdentityPoolId=self.pool, IdentityId=self.id)["Count"], 20)
        self.refused("LimitExceededException", 400, "20", self.update, patches=[replace("k", "v")], DatasetName="one-more")

    def test_identities(self):
        want = {self.id} | {self.new_guest()[0] for _ in range(7)}
        seen = [i["IdentityId"] for page in pages(identity.list_identities, IdentityPoolId=self.pool, MaxResults=3) for i in page["Identities"]]
        self.assertEqual((set(seen), len(seen)), (want, len(want)))

    def test_pools(self):
        want = {identity.create_identity_pool(IdentityPoolName=f"pool {n}", AllowUnauthenticatedIdentities=False)["IdentityPoolId"] for n in range(5)}
        pools = identity.get_paginator("list_identity_pools").paginate(PaginationConfig={"PageSize": 2})
        seen = [p["IdentityPoolId"] for page in pools for p in page["IdentityPools"]]
        used = [p["IdentityPoolId"] for page in pages(developer.list_identity_pool_usage, MaxResults=2) for p in page["IdentityPoolUsages"]]
        for found in seen, used:
            self.assertEqual(len(found), len(set(found)))
            self.assertLessEqual(want | {self.pool}, set(found))

    def test_streams(self):
        want = [f"paged-{n}" for n in range(5)]
        for name in want:
            kinesis.create_stream(StreamName=name, ShardCount=3)
        streams = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2})
        seen = [name for page in streams for name in page["StreamNames"]]
        self.assertEqual([n for n in seen if n.startswith("paged-")], want)
        first = kinesis.list_shards(StreamName="paged-0", MaxResults=2)
        rest = kinesis.list_shards(NextToken=first["NextToken"])  # which takes no name beside it
        self.assertEqual([s["ShardId"] for s in first["Shards"] + rest["Shards"]], [f"shardId-{n:012}" for n in range(3)])
        self.assertNotIn("NextToken", rest)


class Errors(Walk):
    def test_conflict(self):
        self.update([replace("color", "blue")])
        e = self.refused("ResourceConflictException", 409, "Current SyncCount for: color is: 1 not: 0", self.update, patches=[replace("color", "red")])
        self.assertIsInstance(e, developer.exceptions.ResourceConflictException)

    def test_all_or_nothing(self):
        self.update([replace("color", "blue")])
        self.refused("ResourceConflictException", 409, "color", self.update, patches=[replace("new", "1"), replace("color", "red"), replace("other", "2")])
        l = self.guest.list_records(**self.dataset)
        self.assertEqual([(r["Key"], r["Value"], r["SyncCount"]) for r in l["Records"]], [("color", "blue", 1)])
        self.assertEqual(l["DatasetSyncCount"], 1)

    def test_sessions(self):
        patches = [replace("k", "v")]
        other = self.token(DatasetName="other")
        for token in "nonsense", other, other[:-1], "é":
            self.refused("InvalidParameterException", 400, "SyncSessionToken not valid for these inputs",
                         self.guest.update_records, **self.dataset, SyncSessionToken=token, RecordPatches=patches)
        self.refused("InvalidParameterException", 400, "", self.guest.update_records, **self.dataset, RecordPatches=patches)

    def test_patches(self):
        for patch, code in [
            (replace("", "v"), "InvalidParameterException"),
            (replace("k" * 1025, "v"), "InvalidParameterException"),
            (replace("k", "v", -1), "InvalidParameterException"),
            ({"Op": "rename", "Key": "k", "Value": "v", "SyncCount": 0}, "InvalidParameterException"),
            ({"Op": "replace", "Key": "k", "Value": "v"}, "InvalidParameterException"),
            (replace("k", "v" * (1 << 20) + "v"), "LimitExceededException"),
            (replace("\ud800", "v"), "SerializationException"),  # half a character is no text
            (replace("k", "\udfff"), "SerializationException"),
        ]:
            with self.subTest(patch=str(patch)[:80].encode("unicode_escape"), code=code):
                self.refused(code, 400, "", self.update, patches=[replace("good", "v"), patch])
        self.refused("InvalidParameterException", 400, "twice", self.update, patches=[replace("k", "1"), replace("k", "2")])
        self.refused("LimitExceededException", 400, "1024", self.update, patches=[replace(f"k{n}", "v") for n in range(1025)])
        self.assertFalse(self.guest.list_records(**self.dataset)["DatasetExists"])

    def test_names(self):
        for name in "", " ", "a b", "a/b", "..%2F", "ü", "\u0000", "x" * 129:
            with self.subTest(name=name):
                with self.assertRaises(ClientError) as caught:
                    self.guest.list_records(**(self.dataset | {"DatasetName": name}))
                r = caught.exception.response
                self.assertIn(r["ResponseMetadata"]["HTTPStatusCode"], (400, 404), r)
                self.assertTrue(r["Error"]["Code"].endswith("Exception"), r)
        for name in "a", "x" * 128, "a.b:c-d_e", ".", "..", ":":
            with self.subTest(name=name):
                self.assertEqual(self.update([replace("k", name)], DatasetName=name)[0]["Value"], name)

    def test_numbers(self):
        self.refused("InvalidParameterException", 400, "maxResults", self.guest.list_records, **self.dataset, MaxResults=0)
        self.refused("InvalidParameterException", 400, "", self.guest.list_records, **self.dataset, MaxResults=-1)
        self.refused("InvalidParameterException", 400, "", self.guest.list_records, **self.dataset, LastSyncCount=-1)
        self.refused("InvalidParameterException", 400, "", self.guest.list_records, **self.dataset, NextToken="nonsense")
        self.refused("InvalidParameterException", 400, "maxResults", identity.list_identity_pools, MaxResults=61)

    def test_missing(self):
        none = "us-east-1:00000000-0000-4000-8000-000000000000"
        self.refused("ResourceNotFoundException", 404, "notes", self.guest.describe_dataset, **self.dataset)
        self.refused("ResourceNotFoundException", 404, "notes", self.guest.delete_dataset, **self.dataset)
        self.refused("ResourceNotFoundException", 404, none, developer.describe_identity_usage, IdentityPoolId=self.pool, IdentityId=none)
        self.refused("ResourceNotFoundException", 404, none, developer.describe_identity_pool_usage, IdentityPoolId=none)
        self.refused("ResourceNotFoundException", 400, none, identity.get_id, IdentityPoolId=none)
        self.refused("ResourceNotFoundException", 400, none, identity.get_credentials_for_identity, IdentityId=none)
        self.refused("ResourceNotFoundException", 400, "none", kinesis.describe_stream, StreamName="none")

    def test_configuration(self):
        none = developer.get_identity_pool_configuration(IdentityPoolId=self.pool)
        self.assertNotIn("CognitoStreams", none)
        self.refused("InvalidParameterException", 400, "", developer.set_identity_pool_configuration, IdentityPoolId=self.pool,
                     CognitoStreams={"StreamName": "none", "StreamingStatus": "ENABLED"})

    def test_pool_usage(self):
        self.update([replace("color", "blue")])
        deadline = time.monotonic() + 10
        while True:  # a pool's figures may be a second behind
            usage = developer.describe_identity_pool_usage(IdentityPoolId=self.pool)["IdentityPoolUsage"]
            if usage.get("DataStorage") == 9 or time.monotonic() > deadline:
                break
            time.sleep(0.05)  # between two questions
        self.assertEqual((usage["IdentityPoolId"], usage["DataStorage"]), (self.pool, 9))

    def test_others_data(self):
        other, _ = self.new_guest()
        theirs = self.dataset | {"IdentityId": other}
        for call in self.guest.list_records, self.guest.describe_dataset, self.guest.delete_dataset:
            self.refused("NotAuthorizedException", 403, "", call, **theirs)
        self.refused("NotAuthorizedException", 403, "", self.guest.update_records, **theirs, SyncSessionToken=self.token(), RecordPatches=[])
        self.refused("NotAuthorizedException", 403, "", self.guest.get_identity_pool_configuration, IdentityPoolId=self.pool)

    def test_keys(self):
        k = boto3.Session().get_credentials()
        wrong = boto3.client("cognito-sync", config=UNCHECKED, aws_access_key_id=k.access_key, aws_secret_access_key="x" * 40)
        unknown = boto3.client("cognito-sync", config=UNCHECKED, aws_access_key_id="AKIAUNKNOWNUNKNOWN00", aws_secret_access_key="x" * 40)
        self.refused("InvalidSignatureException", 403, "The request signature we calculated does not match", wrong.list_records, **self.dataset)
        self.refused("UnrecognizedClientException", 403, "", unknown.list_records, **self.dataset)


HOSTILE = [
    "plain", "with space", " leading and trailing ", "", "emoji 📏👩‍👩‍👧‍👦🇪🇺", "\U0010ffff", "\uffff\ufffe", "\ufeffBOM", "\ufffd", "é e\u0301", "\u202egnp.exe\u202c",
    "\u2028line\u2029paragraph", '"quotes" \'single\' `back`', "back\\slash \\u0041 \\n", "tab\tnew\nline\r\n", "\x7f\x80\x9f",
    "".join(map(chr, range(1, 32))), "NUL\x00inside", "\x00", "\x00\x00", "../../etc/passwd", "%2F%00%", "a/b?c=d&e#f", "'; DROP TABLE cognito_raw_data; --",
    "null", "true", "0", "{}", "[]", "__proto__", "constructor", "<script>alert(1)</script>", "$(id) `id` ${HOME}", "=1+1", ",;|", "中文字符", "العربية", "\U0001d54f",
    "k" * 1024, "😀" * 1024, "\x00" * 1024, '"' * 1024, "\\" * 1024,
]


class Hostile(Walk):
    def test_texts(self):
        """Every text comes back as it was, as a key and as a value: from the
        answer, from the list, from the stream and one by one."""
        self.dataset["DatasetName"] = "hostile"
        self.stream("hostile")
        want = {text: HOSTILE[-n] for n, text in enumerate(HOSTILE) if text}
        answered = self.update([replace(k, v) for k, v in want.items()])
        self.assertEqual([(r["Key"], r["Value"]) for r in answered], list(want.items()))
        listed = {r["Key"]: r["Value"] for page in pages(self.guest.list_records, **self.dataset, MaxResults=5) for r in page["Records"]}
        self.assertEqual(listed, want)
        event = self.events("hostile")[-1]
        records = event["kinesisSyncRecords"]
        if event["payloadType"] == "S3Url":
            with urllib.request.urlopen(event["kinesisSyncRecordsURL"], timeout=10) as answer:
                records = json.load(answer)
        self.assertEqual({r["key"]: r["value"] for r in records}, want)
        size = sum(len((k + v).encode()) for k, v in want.items())
        d = self.guest.describe_dataset(**self.dataset)["Dataset"]
        self.assertEqual((d["NumRecords"], d["DataStorage"]), (len(want), size))

    def test_conflict_names_the_key(self):
        for key in 'say "hi"\\\n', "emoji 📏", "NUL\x00inside":
            self.update([replace(key, "v")])
            self.refused("ResourceConflictException", 409, f"Current SyncCount for: {key} is: ", self.update, patches=[replace(key, "w")])

    def test_removed_and_written_again(self):
        for key in HOSTILE[1:4] + HOSTILE[16:20]:
            if not key:
                continue
            count = self.update([replace(key, key)])[0]["SyncCount"]
            gone = self.update([{"Op": "remove", "Key": key, "SyncCount": count}])[0]
            self.assertEqual((gone["Key"], gone.get("Value")), (key, None))
            back = self.update([replace(key, "back", gone["SyncCount"])])[0]
            self.assertEqual((back["Key"], back["Value"]), (key, "back"))


class Large(Walk):
    def test_largest_values(self):
        """A dataset holds 1 MiB of keys and values: a value of 1,048,575 bytes
        and a key of one, however much longer JSON writes it."""
        self.stream("large")
        values = {"plain": "x" * 1048575, "nul": "\x00" * 1048575, "quotes": '"\\\n' * 349525, "emoji": "😀" * 262143 + "abc"}
        for name, value in values.items():
            with self.subTest(name=name):
                answered = self.update([replace("k", value)], DatasetName=name)
                self.assertTrue(answered[0]["Value"] == value, "UpdateRecords gives another value")
                l = self.guest.list_records(**(self.dataset | {"DatasetName": name}))
                self.assertTrue(l["Records"][0]["Value"] == value, "ListRecords gives another value")
                self.refused("LimitExceededException", 400, "1048576", self.update, patches=[replace("l", "")], DatasetName=name)
        for event, (name, value) in zip(self.events("large"), values.items(), strict=True):
            self.assertEqual((event["datasetName"], event["payloadType"]), (name, "S3Url"))
            with urllib.request.urlopen(event["kinesisSyncRecordsURL"], timeout=10) as answer:
                records = json.load(answer)
            self.assertEqual([r["key"] for r in records], ["k"])
            self.assertTrue(records[0]["value"] == value, f"{name}: the link leads to another value")


class Presigned(Walk):
    def setUp(self):
        super().setUp()
        self.dataset["DatasetName"] = "a.b:c"
        self.update([replace("größe 📏", "10")], DatasetName="a.b:c")

    def get(self, url, method="GET"):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            with e:
                return e.code, json.load(e)

    def test_list(self):
        for client in developer, self.guest:
            url = client.generate_presigned_url("list_records", Params=self.dataset | {"LastSyncCount": 0, "MaxResults": 10}, ExpiresIn=60)
            status, l = self.get(url)
            self.assertEqual(status, 200, l)
            self.assertEqual([(r["Key"], r["Value"]) for r in l["Records"]], [("größe 📏", "10")])

    def test_changed(self):
        url = self.guest.generate_presigned_url("list_records", Params=self.dataset | {"LastSyncCount": 0}, ExpiresIn=60)
        for changed in url.replace("lastSyncCount=0", "lastSyncCount=1"), url.replace("a.b", "a.c"), url + "&maxResults=1", url.replace("Expires=60", "Expires=61"):
            self.assertNotEqual(changed, url)
            status, body = self.get(changed)
            self.assertEqual(status, 403, body)
            self.assertIn("message", body)

    def test_expired(self):
        url = self.guest.generate_presigned_url("list_records", Params=self.dataset, ExpiresIn=1)
        deadline = time.monotonic() + 10
        while (answer := self.get(url))[0] == 200 and time.monotonic() < deadline:
            time.sleep(0.05)  # between two questions
        self.assertEqual(answer[0], 403, answer)


if __name__ == "__main__":
    unittest.main()
