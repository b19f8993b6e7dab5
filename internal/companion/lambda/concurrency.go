package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/catalog"
)

// unreservedMin is how much of an account's concurrency cannot be reserved.
const unreservedMin = 100

const onlyFunctions = "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."

// PutFunctionConcurrency reserves a part of the account's concurrency for a
// function, which is also the most that it gets. 0 stops it.
func (s *Service) PutFunctionConcurrency(ctx context.Context, in *api.PutFunctionConcurrencyInput) (*api.PutFunctionConcurrencyOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if ref.qualifier != "" {
		return nil, invalid(onlyFunctions)
	}
	if err := s.reserve(ctx, ref.functionID, in.ReservedConcurrentExecutions); err != nil {
		return nil, err
	}
	return &api.PutFunctionConcurrencyOutput{ReservedConcurrentExecutions: in.ReservedConcurrentExecutions}, nil
}

// reserve sets a function's reserved concurrency, or takes it away (nil). The
// account's document changes with it, so that reservations made at once cannot
// together be more than there is.
func (s *Service) reserve(ctx context.Context, id functionID, n *int32) error {
	missing := reference{id, latest}.missing()
	for range 100 {
		var account accountDoc
		var accountVersion uint64
		if _, err := read(s.docs, accountKey(id.account, id.region), &account, &accountVersion); err != nil {
			return err
		}
		f, err := s.find(id)
		if err != nil || f == nil {
			return orErr(err, missing)
		}
		if n != nil {
			reserved, err := s.reserved(id.account, id.region, id.name)
			if err != nil {
				return err
			}
			if s.cfg.Concurrency-reserved-int(*n) < unreservedMin {
				return rheo.Errorf("InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", unreservedMin)
			}
		}
		f.Reserved = n
		f.Serial++
		account.Serial++
		ch := &change{}
		ch.expects(id.key(), f.version)
		ch.expects(accountKey(id.account, id.region), accountVersion)
		ch.put(id.key(), &f.functionDoc)
		ch.put(accountKey(id.account, id.region), account)
		if err := s.commit(ctx, ch); !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("lambda: decided 100 times on the concurrency of function %s, and something had changed each time", id.name)
}

// reserved is what the functions of an account in a region have reserved, but for one.
func (s *Service) reserved(account, region, without string) (n int, err error) {
	functions, err := list[functionDoc](s.docs, functionPrefix+account+"/"+region+"/")
	for _, f := range functions {
		if f.Reserved != nil && f.Name != without {
			n += int(*f.Reserved)
		}
	}
	return n, err
}

// GetFunctionConcurrency tells what is reserved for a function.
func (s *Service) GetFunctionConcurrency(ctx context.Context, in *api.GetFunctionConcurrencyInput) (*api.GetFunctionConcurrencyOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	f, err := s.find(id)
	if err != nil || f == nil {
		return nil, orErr(err, reference{functionID: id}.missing())
	}
	return &api.GetFunctionConcurrencyOutput{ReservedConcurrentExecutions: f.Reserved}, nil
}

// DeleteFunctionConcurrency gives a function back to the account's concurrency.
func (s *Service) DeleteFunctionConcurrency(ctx context.Context, in *api.DeleteFunctionConcurrencyInput) (*api.DeleteFunctionConcurrencyOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if ref.qualifier != "" {
		return nil, invalid(onlyFunctions)
	}
	if err := s.reserve(ctx, ref.functionID, nil); err != nil {
		return nil, err
	}
	return &api.DeleteFunctionConcurrencyOutput{}, nil
}

// GetAccountSettings tells the account's limits in the region, and what of them is used.
func (s *Service) GetAccountSettings(ctx context.Context, in *api.GetAccountSettingsInput) (*api.GetAccountSettingsOutput, error) {
	caller := rheo.CallerFrom(ctx)
	bytes, functions, err := s.usage(caller.Account, caller.Region)
	if err != nil {
		return nil, err
	}
	reserved, err := s.reserved(caller.Account, caller.Region, "")
	if err != nil {
		return nil, err
	}
	return &api.GetAccountSettingsOutput{
		AccountLimit: &api.AccountLimit{
			TotalCodeSize: new(int64(codeBytesMax)), CodeSizeUnzipped: new(int64(unpackedBytesMax)), CodeSizeZipped: new(int64(zipBytesMax)),
			ConcurrentExecutions: new(int32(s.cfg.Concurrency)), UnreservedConcurrentExecutions: new(int32(s.cfg.Concurrency - reserved)),
		},
		AccountUsage: &api.AccountUsage{TotalCodeSize: &bytes, FunctionCount: &functions},
	}, nil
}

// usage is what an account has in a region: bytes of packages, of versions too, and functions.
func (s *Service) usage(account, region string) (codeBytes, functions int64, err error) {
	all, err := list[functionDoc](s.docs, functionPrefix+account+"/"+region+"/")
	if err != nil {
		return 0, 0, err
	}
	for i := range all {
		f := &function{functionDoc: all[i], docs: s.docs}
		versions, err := f.versions()
		if err != nil {
			return 0, 0, err
		}
		codeBytes += f.Latest.Code.Bytes
		for _, v := range versions {
			codeBytes += v.Code.Bytes
		}
	}
	return codeBytes, int64(len(all)), nil
}

// reservations are the reserved concurrencies of all functions, as the documents
// say: every invocation asks for the sum.
type reservations struct {
	mu   sync.Mutex
	of   map[string]int // mu; by the key of the function
	sums map[string]int // mu; by account and region
}

func (r *reservations) follow(changes []catalog.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of, r.sums = make(map[string]int), make(map[string]int)
	}
	for _, ch := range changes {
		pool := poolOf(ch.Key)
		r.sums[pool] -= r.of[ch.Key]
		delete(r.of, ch.Key)
		var doc struct{ Reserved *int32 }
		if ch.Doc != nil && json.Unmarshal(ch.Doc, &doc) == nil && doc.Reserved != nil {
			r.of[ch.Key] = int(*doc.Reserved)
			r.sums[pool] += int(*doc.Reserved)
		}
		if r.sums[pool] == 0 {
			delete(r.sums, pool)
		}
	}
}

// sum is what all functions of an account have reserved in a region.
func (r *reservations) sum(id functionID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums[poolOf(id.key())]
}

// poolOf is the account and the region of a function's key.
func poolOf(key string) string {
	pool := strings.TrimPrefix(key, functionPrefix)
	return pool[:max(strings.LastIndexByte(pool, '/'), 0)]
}

// executions counts invocations under way, and holds them to the limits: that
// of the function if it has reserved one, else what the others have not reserved.
type executions struct {
	max int // of an account in a region

	mu         sync.Mutex
	running    map[string]int // mu; by the key of the function
	unreserved map[string]int // mu; by account and region: of functions without a reservation
	all        int            // mu
}

func newExecutions(max int) *executions {
	return &executions{max: max, running: make(map[string]int), unreserved: make(map[string]int)}
}

func (e *executions) total() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all
}

// enter lets one invocation begin, or answers that there are too many. leave is to
// be called when it is over. allReserved is what the account's functions have reserved.
func (e *executions) enter(id functionID, reserved *int32, allReserved int) (leave func(), err error) {
	key, pool := id.key(), poolOf(id.key())
	e.mu.Lock()
	defer e.mu.Unlock()
	if reserved != nil {
		if e.running[key] >= int(*reserved) {
			return nil, tooMany("ReservedFunctionConcurrentInvocationLimitExceeded")
		}
	} else {
		if e.unreserved[pool] >= e.max-allReserved {
			return nil, tooMany("ConcurrentInvocationLimitExceeded")
		}
		e.unreserved[pool]++
	}
	e.running[key]++
	e.all++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all--
		if e.running[key]--; e.running[key] == 0 {
			delete(e.running, key)
		}
		if reserved == nil {
			if e.unreserved[pool]--; e.unreserved[pool] == 0 {
				delete(e.unreserved, pool)
			}
		}
	}, nil
}
