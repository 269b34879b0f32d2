package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/go-amqp"
)

// other is a client of another protocol, which does what it is asked for and answers; see interop/amqp/other.ts.
type other struct{ word, talents string }

func (o *other) name(what string) string { return "go." + o.word + "." + what }

func (o *other) can(talent string) bool { return strings.Contains(o.talents, talent) }

func (o *other) ask(c *client, words ...string) (string, error) {
	mine, err := c.NewReceiver(within(), "", &amqp.ReceiverOptions{DynamicAddress: true})
	if err != nil {
		return "", err
	}
	defer mine.Close(within())
	replyTo := mine.Address()
	request := text(strings.Join(words, " "))
	request.Properties = &amqp.MessageProperties{ReplyTo: &replyTo}
	if err := c.send("cross."+o.word, request); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*wait)
	defer cancel()
	reply, err := mine.Receive(ctx, nil)
	if err != nil {
		return "", err
	}
	return plain(reply), mine.AcceptMessage(within(), reply)
}

func (o *other) does(c *client, expected string, words ...string) error {
	answer, err := o.ask(c, words...)
	if err == nil && answer != expected {
		err = fmt.Errorf("%v: %q instead of %q", words, answer, expected)
	}
	return err
}

// crossed does all that the library can; it has no distribution mode, and no transactions of its own.
func (o *other) crossed(c *client) error {
	for name, cross := range map[string]func(*client) error{
		"durable": o.durable, "shared": o.shared, "large": o.large, "dead letter": o.deadLetter,
		"transaction": o.transaction, "selector": o.selector,
	} {
		if err := cross(c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// plain is the text of a message: a string if its protocol says so, and bytes if it cannot.
func plain(message *amqp.Message) string {
	if body, ok := message.Value.(string); ok {
		return body
	}
	return string(message.GetData())
}

func takes(receiver *amqp.Receiver, bodies ...string) error {
	for _, body := range bodies {
		message, err := next(receiver)
		if err != nil {
			return err
		}
		if plain(message) != body {
			return fmt.Errorf("%q came instead of %q", plain(message), body)
		}
		if err := receiver.AcceptMessage(within(), message); err != nil {
			return err
		}
	}
	return nil
}

func (o *other) durable(c *client) error {
	topic := o.name("durable")
	options := &amqp.ReceiverOptions{Name: "sub", SourceDurability: amqp.DurabilityUnsettledState, SourceExpiryPolicy: amqp.ExpiryPolicyNever}
	one, err := open("go-" + o.word)
	if err != nil {
		return err
	}
	if _, err := one.NewReceiver(within(), "topic://"+topic, options); err != nil {
		return err
	}
	one.close()
	if err := o.does(c, "sent", "send", "topic", topic, "a,b"); err != nil {
		return err
	}
	two, err := open("go-" + o.word)
	if err != nil {
		return err
	}
	defer two.close()
	receiver, err := two.NewReceiver(within(), "topic://"+topic, options)
	if err != nil {
		return err
	}
	return first(takes(receiver, "a", "b"), receiver.Close(within()))
}

func (o *other) shared(c *client) error {
	var receivers []*amqp.Receiver
	for _, name := range []string{"s|0", "s|1"} {
		options := &amqp.ReceiverOptions{Name: name, SourceCapabilities: []string{"shared"}, Credit: 10}
		receiver, err := c.NewReceiver(within(), "topic://"+o.name("shared"), options)
		if err != nil {
			return err
		}
		receivers = append(receivers, receiver)
	}
	if err := o.does(c, "sent", "send", "topic", o.name("shared"), "0,1,2,3,4,5,6,7,8,9"); err != nil {
		return err
	}
	var found []string
	end := time.Now().Add(wait)
	for turn := 0; len(found) < 10 && time.Now().Before(end); turn++ {
		receiver := receivers[turn%2]
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		message, err := receiver.Receive(ctx, nil)
		cancel()
		if err != nil {
			continue
		}
		found = append(found, plain(message))
		if err := receiver.AcceptMessage(within(), message); err != nil {
			return err
		}
	}
	sort.Strings(found)
	if strings.Join(found, "") != "0123456789" {
		return fmt.Errorf("%v came", found)
	}
	return nil
}

func (o *other) large(c *client) error {
	queue := o.name("large")
	body := make([]byte, 10<<20)
	for at := range body {
		body[at] = byte((at % 8192) * 7919 >> 5)
	}
	sum := fmt.Sprintf("%d %d", len(body), crc32.ChecksumIEEE(body))
	err := first(c.send(queue, amqp.NewMessage(body)), o.does(c, sum, "sum", queue), o.does(c, "sent", "large", queue, strconv.Itoa(len(body))))
	if err != nil {
		return err
	}
	receiver, err := c.NewReceiver(within(), queue, nil)
	if err != nil {
		return err
	}
	message, err := next(receiver)
	if err != nil {
		return err
	}
	if !bytes.Equal(message.GetData(), body) {
		return errors.New("other bytes")
	}
	return receiver.AcceptMessage(within(), message)
}

func (o *other) deadLetter(c *client) error {
	queue := o.name("dead")
	if err := o.does(c, "sent", "send", "queue", queue, "x"); err != nil {
		return err
	}
	receiver, err := c.NewReceiver(within(), queue, nil)
	if err != nil {
		return err
	}
	message, err := next(receiver)
	if err != nil {
		return err
	}
	if err := receiver.ModifyMessage(within(), message, &amqp.ModifyMessageOptions{DeliveryFailed: true}); err != nil {
		return err
	}
	if message, err = next(receiver); err != nil {
		return err
	}
	if message.Header.DeliveryCount != 1 {
		return fmt.Errorf("a count of %d", message.Header.DeliveryCount)
	}
	err = first(receiver.RejectMessage(within(), message, nil), receiver.Close(within()), o.does(c, "x", "take", "DLQ."+queue, "1"))
	if err != nil || !o.can("n") {
		return err
	}
	if err := c.send(queue, text("y")); err != nil {
		return err
	}
	if err := o.does(c, "10", "refuse", queue, "10"); err != nil {
		return err
	}
	dead, err := c.NewReceiver(within(), "DLQ."+queue, nil)
	if err != nil {
		return err
	}
	return takes(dead, "y")
}

func (o *other) transaction(c *client) error {
	if !o.can("t") {
		return nil
	}
	receiver, err := c.NewReceiver(within(), o.name("tx"), nil)
	if err != nil {
		return err
	}
	return first(
		o.does(c, "done", "transact", "abort", o.name("tx"), "undone"), nothing(receiver),
		o.does(c, "done", "transact", "commit", o.name("tx"), "a,b"), takes(receiver, "a", "b"),
	)
}

func (o *other) selector(c *client) error {
	if !o.can("c") {
		return nil
	}
	queue := o.name("selector")
	if err := o.does(c, "sent", "send", "queue", queue, "no,yes", "blue,red"); err != nil {
		return err
	}
	receiver, err := c.NewReceiver(within(), queue, &amqp.ReceiverOptions{Filters: []amqp.LinkFilter{amqp.NewSelectorFilter("colour = 'red'")}})
	if err != nil {
		return err
	}
	return first(takes(receiver, "yes"), nothing(receiver), receiver.Close(within()), o.does(c, "no", "take", queue, "1"))
}
