package dynamodb

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

// UpdateContinuousBackups keeps whether point-in-time recovery is wanted, for
// clients that set it up. Rheo restores its whole directory from a backup, and no
// single table to a point in time: no restorable times are shown.
func (s *Service) UpdateContinuousBackups(ctx context.Context, in *api.UpdateContinuousBackupsInput) (*api.UpdateContinuousBackupsOutput, error) {
	spec := in.PointInTimeRecoverySpecification
	var d *api.ContinuousBackupsDescription
	err := s.changeTable(ctx, in.TableName, func(_ *table, doc *tableDoc) (int64, error) {
		doc.Recovery, doc.RecoveryDays = *spec.PointInTimeRecoveryEnabled, 0
		if doc.Recovery {
			doc.RecoveryDays = 35
			if spec.RecoveryPeriodInDays != nil {
				doc.RecoveryDays = *spec.RecoveryPeriodInDays
			}
		} else if spec.RecoveryPeriodInDays != nil {
			return 0, validation("RecoveryPeriodInDays can only be specified when PointInTimeRecoveryEnabled is true")
		}
		d = backupsOf(doc)
		return 0, nil
	})
	if err != nil {
		return nil, tableNotFound(err)
	}
	return &api.UpdateContinuousBackupsOutput{ContinuousBackupsDescription: d}, nil
}

// DescribeContinuousBackups tells what UpdateContinuousBackups has set.
func (s *Service) DescribeContinuousBackups(ctx context.Context, in *api.DescribeContinuousBackupsInput) (*api.DescribeContinuousBackupsOutput, error) {
	name, key, err := tableName(ctx, in.TableName)
	if err != nil {
		return nil, err
	}
	t, ok := s.machine.view().tables.Get(key)
	if !ok {
		return nil, tableNotFound(noTableNamed(name))
	}
	return &api.DescribeContinuousBackupsOutput{ContinuousBackupsDescription: backupsOf(&t.doc)}, nil
}

func backupsOf(doc *tableDoc) *api.ContinuousBackupsDescription {
	p := &api.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: api.PointInTimeRecoveryStatusDisabled}
	if doc.Recovery {
		p.PointInTimeRecoveryStatus, p.RecoveryPeriodInDays = api.PointInTimeRecoveryStatusEnabled, new(doc.RecoveryDays)
	}
	return &api.ContinuousBackupsDescription{ContinuousBackupsStatus: api.ContinuousBackupsStatusEnabled, PointInTimeRecoveryDescription: p}
}
