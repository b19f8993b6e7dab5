package dynamodb

import (
	"errors"
	"sync"
)

var (
	errBudget = errors.New("the memory for tables is used up")
	errShare  = errors.New("the account's share of the memory for tables is used up")
)

// A budget bounds what the state and the commands on their way to it take. One
// account may take three quarters of it, so that there is something left for
// the leases of others, whatever it does.
type budget struct {
	max int64

	mu       sync.Mutex
	underway map[string]int64 // mu; by account
	all      int64            // mu; of all accounts
}

func (b *budget) share() int64 { return b.max / 4 * 3 }

// reserve takes n bytes for an account, or none and returns errBudget or errShare.
// What makes room may take an eighth of the budget more, whoever's share it is: a
// transaction of deletes with a token may need more than it frees, until the token
// is forgotten.
func (b *budget) reserve(st *state, account string, n int64, makesRoom bool) error {
	beyond := int64(0)
	if makesRoom {
		beyond = b.max / 8
	}
	used, _ := st.accounts.Get(account)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case st.bytes+b.all+n > b.max+beyond:
		return errBudget
	case !makesRoom && used+b.underway[account]+n > b.share():
		return errShare
	}
	if b.underway == nil {
		b.underway = make(map[string]int64)
	}
	b.underway[account] += n
	b.all += n
	return nil
}

func (b *budget) release(account string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all -= n
	if b.underway[account] -= n; b.underway[account] == 0 {
		delete(b.underway, account)
	}
}
