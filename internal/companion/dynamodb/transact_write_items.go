package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/dynamodb"
)

const (
	transactMax      = 100
	transactBytesMax = 4 << 20
)

// TransactWriteItems makes up to 100 writes and checks, all or none. A request
// with a ClientRequestToken is done once in ten minutes, however often it comes.
func (s *Service) TransactWriteItems(ctx context.Context, in *api.TransactWriteItemsInput) (*api.TransactWriteItemsOutput, error) {
	writes, names, err := readTransaction(ctx, in)
	if err != nil {
		return nil, err
	}
	latches := make([]string, len(writes))
	seen := make(map[string]bool)
	view := s.machine.view()
	for i, w := range writes {
		if latches[i], err = s.latchKey(view, w); err != nil {
			return nil, err
		}
		if seen[latches[i]] {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		}
		seen[latches[i]] = true
	}
	token, err := tokenStep(ctx, in)
	if err != nil {
		return nil, err
	}
	if token != nil {
		latches = append(latches, "\x00"+token.key) // no table's
	}
	done := make([]written, len(writes))
	a := s.newAnswer()
	defer a.sent(ctx)
	err = s.decide(ctx, latches, func(st *state) (txn, error) {
		a.release() // what was taken when it was decided before
		return s.transact(st, writes, done, token, a)
	})
	if err != nil {
		return nil, err
	}
	return transacted(in, names, writes, done), nil
}

func transacted(in *api.TransactWriteItemsInput, names []string, writes []*itemWrite, done []written) *api.TransactWriteItemsOutput {
	out := new(api.TransactWriteItemsOutput)
	units := make(map[string]float64)
	for i, w := range done {
		if w.table == nil {
			continue // it was done before
		}
		units[names[i]] += 2 * writeUnits(w.oldBytes, w.newBytes)
		if m := collection(in.ReturnItemCollectionMetrics, w.table, writes[i].keyed()); m != nil {
			if out.ItemCollectionMetrics == nil {
				out.ItemCollectionMetrics = make(map[string][]api.ItemCollectionMetrics)
			}
			out.ItemCollectionMetrics[names[i]] = append(out.ItemCollectionMetrics[names[i]], *m)
		}
	}
	for _, name := range sortedKeys(units) {
		if c := consumed(in.ReturnConsumedCapacity, name, units[name], "", false); c != nil {
			out.ConsumedCapacity = append(out.ConsumedCapacity, *c)
		}
	}
	return out
}

// transact decides on all writes of a transaction in one state.
func (s *Service) transact(st *state, writes []*itemWrite, done []written, token *step, a *answer) (txn, error) {
	if token != nil {
		have, ok := st.tokens.Get(token.key)
		if ok && s.now().UnixMilli()-have.at <= tokenMillis {
			if have.hash != token.stored {
				return nil, rheo.Errorf("IdempotentParameterMismatchException", "Request parameters do not match the ones of an earlier request with the same client token")
			}
			clear(done)
			return nil, nil
		}
	}
	var t txn
	reasons := make([]api.CancellationReason, len(writes))
	cancelled, size := false, 0
	for i, w := range writes {
		reasons[i].Code = new("None")
		var err error
		done[i], err = s.evaluate(st, w, a)
		var refused *rheo.Error
		switch {
		case errors.Is(err, errCondition):
			cancelled = true
			reasons[i].Code, reasons[i].Message = new("ConditionalCheckFailed"), new("The conditional request failed")
			if w.show && done[i].old != nil {
				if !a.take(done[i].old) {
					return nil, errNoRoom()
				}
				reasons[i].Item = done[i].old.API()
			}
		case errors.As(err, &refused) && refused.Code == "ValidationException": // what only the item shows
			cancelled = true
			reasons[i].Code, reasons[i].Message = new("ValidationError"), &refused.Message
		case err != nil:
			return nil, err
		case !done[i].nothing:
			t = append(t, done[i].step)
		default: // still nothing when the others are written
			t = append(t, step{kind: checkItem, table: w.table, id: done[i].table.doc.ID, key: done[i].key})
		}
		done[i].forget()
		if size += done[i].newBytes; size > transactBytesMax {
			return nil, tooLargeTransaction()
		}
	}
	if cancelled {
		codes := make([]string, len(reasons))
		for i, r := range reasons {
			codes[i] = *r.Code
		}
		return nil, &rheo.Error{Code: "TransactionCanceledException",
			Message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
			Fields:  map[string]any{"CancellationReasons": reasons}}
	}
	if token != nil {
		t = append(t, *token)
	}
	return t, nil
}

func tooLargeTransaction() *rheo.Error {
	return validation("Transaction size exceeds limit: the items of a transaction may be %d bytes together", transactBytesMax)
}

// tokenStep is what remembers a request by its token; nil if it has none.
func tokenStep(ctx context.Context, in *api.TransactWriteItemsInput) (*step, error) {
	if in.ClientRequestToken == nil {
		return nil, nil
	}
	same := *in
	same.ReturnConsumedCapacity, same.ReturnItemCollectionMetrics = "", "" // may differ
	text, err := json.Marshal(&same)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(text)
	caller := rheo.CallerFrom(ctx)
	return &step{kind: remember, key: caller.Account + "/" + caller.Region + "/" + *in.ClientRequestToken, stored: string(hash[:]), costs: tokenCost}, nil
}

// readTransaction reads the writes of a transaction, and the names of their tables.
func readTransaction(ctx context.Context, in *api.TransactWriteItemsInput) (writes []*itemWrite, names []string, err error) {
	if len(in.TransactItems) > transactMax {
		return nil, nil, validation("Member must have length less than or equal to %d", transactMax)
	}
	for i := range in.TransactItems {
		name, w, err := readTransactItem(ctx, &in.TransactItems[i])
		if err != nil {
			return nil, nil, err
		}
		writes, names = append(writes, w), append(names, name)
	}
	return writes, names, nil
}

func readTransactItem(ctx context.Context, in *api.TransactWriteItem) (name string, w *itemWrite, err error) {
	given := 0
	for _, is := range [...]bool{in.ConditionCheck != nil, in.Put != nil, in.Delete != nil, in.Update != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return "", nil, validation("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	switch {
	case in.Put != nil:
		return readPut(ctx, &api.PutItemInput{TableName: in.Put.TableName, Item: in.Put.Item, ConditionExpression: in.Put.ConditionExpression,
			ExpressionAttributeNames: in.Put.ExpressionAttributeNames, ExpressionAttributeValues: in.Put.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: in.Put.ReturnValuesOnConditionCheckFailure})
	case in.Delete != nil:
		return readDelete(ctx, &api.DeleteItemInput{TableName: in.Delete.TableName, Key: in.Delete.Key, ConditionExpression: in.Delete.ConditionExpression,
			ExpressionAttributeNames: in.Delete.ExpressionAttributeNames, ExpressionAttributeValues: in.Delete.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: in.Delete.ReturnValuesOnConditionCheckFailure})
	case in.Update != nil:
		return readUpdate(ctx, &api.UpdateItemInput{TableName: in.Update.TableName, Key: in.Update.Key, UpdateExpression: in.Update.UpdateExpression,
			ConditionExpression:      in.Update.ConditionExpression,
			ExpressionAttributeNames: in.Update.ExpressionAttributeNames, ExpressionAttributeValues: in.Update.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: in.Update.ReturnValuesOnConditionCheckFailure})
	}
	name, w, err = readDelete(ctx, &api.DeleteItemInput{TableName: in.ConditionCheck.TableName, Key: in.ConditionCheck.Key,
		ConditionExpression:      in.ConditionCheck.ConditionExpression,
		ExpressionAttributeNames: in.ConditionCheck.ExpressionAttributeNames, ExpressionAttributeValues: in.ConditionCheck.ExpressionAttributeValues,
		ReturnValuesOnConditionCheckFailure: in.ConditionCheck.ReturnValuesOnConditionCheckFailure})
	if err == nil {
		w.kind = checkItem
	}
	return name, w, err
}
