package cognitosync

import (
	"context"

	"tributary"
	"tributary/awswire"
)

type datasetShape struct {
	IdentityID       string `json:"IdentityId"`
	DatasetName      string
	CreationDate     awswire.Timestamp
	LastModifiedDate awswire.Timestamp
	LastModifiedBy   *string
	DataStorage      int64
	NumRecords       int64
}

func showDataset(d *tributary.Dataset) datasetShape {
	return datasetShape{
		IdentityID: string(d.Key.Identity), DatasetName: string(d.Key.Dataset),
		CreationDate: timestamp(d.Created), LastModifiedDate: timestamp(d.LastModified), LastModifiedBy: awswire.Nullable(d.LastModifiedBy),
		DataStorage: d.Bytes, NumRecords: d.Records,
	}
}

type datasetOut struct{ Dataset datasetShape }

func (f *front) describeDataset(ctx context.Context, p principal, in *datasetKey) (*datasetOut, error) {
	d, err := f.service.DescribeDataset(ctx, p, in.DatasetKey)
	if err != nil {
		return nil, err
	}
	return &datasetOut{showDataset(&d)}, nil
}

func (f *front) deleteDataset(ctx context.Context, p principal, in *datasetKey) (*datasetOut, error) {
	d, err := f.service.DeleteDataset(ctx, p, in.DatasetKey)
	if err != nil {
		return nil, err
	}
	return &datasetOut{showDataset(&d)}, nil
}

type listIn struct {
	datasetKey `json:"-"`
	token      string
	most       int
}

func (in *listIn) Bind(p awswire.Params) (err error) {
	in.token, _ = p.Query("nextToken")
	if in.most, err = maxResults(p); err != nil {
		return err
	}
	return in.datasetKey.Bind(p)
}

type listDatasetsOut struct {
	Datasets  []datasetShape
	Count     int
	NextToken *string
}

func (f *front) listDatasets(ctx context.Context, p principal, in *listIn) (*listDatasetsOut, error) {
	list, next, err := f.service.ListDatasets(ctx, p, in.Pool, in.Identity, in.token, in.most)
	if err != nil {
		return nil, err
	}
	out := &listDatasetsOut{Datasets: make([]datasetShape, len(list)), Count: len(list), NextToken: awswire.Nullable(next)}
	for i := range list {
		out.Datasets[i] = showDataset(&list[i])
	}
	return out, nil
}

type identityUsageOut struct {
	IdentityUsage struct {
		IdentityID       string `json:"IdentityId"`
		IdentityPoolID   string `json:"IdentityPoolId"`
		LastModifiedDate awswire.Timestamp
		DatasetCount     int64
		DataStorage      int64
	}
}

func (f *front) describeIdentityUsage(ctx context.Context, p principal, in *datasetKey) (*identityUsageOut, error) {
	i, err := f.service.IdentityUsage(ctx, p, in.Pool, in.Identity)
	if err != nil {
		return nil, err
	}
	out := &identityUsageOut{}
	u := &out.IdentityUsage
	u.IdentityID, u.IdentityPoolID = string(i.ID), string(i.Pool)
	u.LastModifiedDate = timestamp(max(i.Usage.LastModified, i.Created))
	u.DatasetCount, u.DataStorage = i.Datasets, i.Usage.Bytes
	return out, nil
}
