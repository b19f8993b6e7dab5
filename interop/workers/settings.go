package main

import (
	"fmt"
	"time"
)

// settings are those of the client library that say how long the death of a worker
// goes unnoticed. Users may set them all; the workers of kclpy and kclnode are run by
// the multi-language daemon, which has no settings for the leader's lock.
//
// Version 2 has only the failover time. Every worker scans the lease table each
// 2 x (failover time + epsilon), DynamoDBLeaseCoordinator.takerIntervalMillis, and a lease
// is free whose counter has not changed for longer than the failover time, as seen by these
// scans (DynamoDBLeaseTaker, Lease.isExpired). The first scan after the death may still
// find the counter changed, the second does not, and takes it.
//
// In version 3 only the leader scans, each 2 x failover time (LeaseManagementConfig.leaseAssignmentIntervalMillis,
// LeaseAssignmentManager.performAssignment), and assigns what is free to the worker with the least load
// among those that count as alive. A dead worker counts as alive until its last report of metrics is older than
// two periods of reporting (MigrationAwareLAMDataManager.workerMetricsExpiryDuration), and having no load is
// preferred: meanwhile it is assigned its own leases again, and others' too. So all of its leases have moved only with
// the first scan after that or, where another worker was just asked to hand it a lease over, and did so
// between two scans, with the second.
//
// When it is the leader who dies, nobody scans. A worker that is not the leader looks at the
// leader's lock once in a heartbeat period (DynamoDBLockBasedLeaderDecider.isLeader), and
// takes it when it has seen the same version of it for longer than the lock's duration (AmazonDynamoDBLockClient.acquireLock with
// shouldSkipBlockingWait). Having forgotten all counters (prepareAfterLeaderSwitch), it needs two scans.
type settings struct {
	version  int           // 2 or 3
	failover time.Duration // failoverTimeMillis

	// version 3:
	report          time.Duration // workerMetricsReporterFreqInMillis
	lock, heartbeat time.Duration // dynamoDbLockBasedLeaderLeaseDurationInMillis, dynamoDbLockBasedLeaderHeartbeatPeriodInMillis

	given []string // name=value, as the library has it: what is not its default
}

// slack is for a busy computer: scans, calls and collections of garbage take their time.
const slack = 10 * time.Second

// librarySettings are the library's defaults or, quick, a small part of them.
func librarySettings(version int, quick, daemon bool) (settings, error) {
	if version != 2 && version != 3 {
		return settings{}, fmt.Errorf("there are settings for versions 2 and 3, not for %d", version)
	}
	s := settings{version: version, failover: 10 * time.Second, report: 30 * time.Second, lock: 2 * time.Minute, heartbeat: 30 * time.Second}
	set := func(name string, field *time.Duration, value time.Duration) {
		*field = value
		s.given = append(s.given, fmt.Sprintf("%s=%d", name, value.Milliseconds()))
	}
	if quick {
		set("failoverTimeMillis", &s.failover, 4*time.Second)
		// The first worker sleeps for so long when it has created the leases (ShardSyncTask), a minute by default.
		var idle time.Duration
		set("shardSyncIntervalMillis", &idle, time.Second)
	}
	if quick && version == 3 {
		set("workerMetricsReporterFreqInMillis", &s.report, 4*time.Second)
	}
	if quick && version == 3 && !daemon {
		set("dynamoDbLockBasedLeaderLeaseDurationInMillis", &s.lock, 16*time.Second)
		set("dynamoDbLockBasedLeaderHeartbeatPeriodInMillis", &s.heartbeat, 4*time.Second)
	}
	if version == 3 {
		// By the processors' load, which is the same for workers on one machine, all leases would stay with the first.
		s.given = append(s.given, "disableWorkerMetrics=true")
	}
	return s, nil
}

// scan is the time between two scans of the lease table for the dead.
func (s settings) scan() time.Duration {
	if s.version == 2 {
		const epsilon = 25 * time.Millisecond
		return 2 * (s.failover + epsilon)
	}
	return 2 * s.failover
}

// moved is when all leases of a dead worker have moved at the latest.
func (s settings) moved(leader bool) time.Duration {
	switch {
	case s.version == 2:
		return 2*s.scan() + slack
	case leader:
		return s.heartbeat + s.lock + s.heartbeat + 2*s.scan() + slack
	default:
		return 2*s.report + 2*s.scan() + slack
	}
}

// String tells what is not the library's default.
func (s settings) String() string {
	if len(s.given) == 0 {
		return "the library's defaults"
	}
	return fmt.Sprint("the library's defaults but for ", s.given)
}
