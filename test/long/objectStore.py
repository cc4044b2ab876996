"""What the test of exports asks of its object store with another client than Casemate's: one JSON command a line."""

import json
import os
import sys

import boto3

endpoint = sys.argv[1]
options = {"endpoint_url": endpoint, "region_name": "us-east-1"}


def set_up():
    """A bucket, and a user whose key signs."""
    anyone = {**options, "aws_access_key_id": "first", "aws_secret_access_key": "first"}
    iam = boto3.client("iam", **anyone)
    iam.create_user(UserName="tester")
    key = iam.create_access_key(UserName="tester")["AccessKey"]
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=json.dumps(allow))
    boto3.client("s3", **anyone).create_bucket(Bucket="bucket")
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def client():
    return boto3.client("s3", **options)


def put(key, text, metadata=None):
    client().put_object(Bucket="bucket", Key=key, Body=text.encode(), Metadata=metadata or {})


def remove(key):
    client().delete_object(Bucket="bucket", Key=key)


def listed(prefix):
    found = {}
    for item in client().list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", []):
        head = client().head_object(Bucket="bucket", Key=item["Key"])
        found[item["Key"]] = {"size": item["Size"], "etag": item["ETag"], "metadata": head["Metadata"]}
    return found


command, arguments = json.loads(sys.argv[2])
verbs = {"set_up": set_up, "put": put, "remove": remove, "listed": listed}
print(json.dumps(verbs[command](*arguments)), flush=True)
os._exit(0)
