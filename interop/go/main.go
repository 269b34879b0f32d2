// Drives go-stomp: see interop/driver.ts for the requests that come as JSON lines.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

type request struct {
	Id           int               `json:"id"`
	Op           string            `json:"op"`
	Connection   string            `json:"connection"`
	Port         int               `json:"port"`
	Version      string            `json:"version"`
	ClientId     string            `json:"clientId"`
	Beats        []int             `json:"beats"`
	Reconnects   bool              `json:"reconnects"`
	Destination  string            `json:"destination"`
	Text         *string           `json:"text"`
	Bytes        []byte            `json:"bytes"`
	Headers      map[string]string `json:"headers"`
	Transaction  string            `json:"transaction"`
	Subscription string            `json:"subscription"`
	Ack          string            `json:"ack"`
	Number       int               `json:"number"`
	Ms           int               `json:"ms"`
}

// quiet is a logger for what the driver reports by itself.
type quiet struct{}

func (quiet) Debugf(string, ...interface{})   {}
func (quiet) Infof(string, ...interface{})    {}
func (quiet) Warningf(string, ...interface{}) {}
func (quiet) Errorf(string, ...interface{})   {}
func (quiet) Debug(string)                    {}
func (quiet) Info(string)                     {}
func (quiet) Warning(string)                  {}
func (quiet) Error(string)                    {}

type connection struct {
	opened        request
	socket        net.Conn
	stomp         *stomp.Conn
	subscriptions map[string]*stomp.Subscription
	ended         map[string]chan struct{}
	asked         map[string]request
	messages      map[string]chan *stomp.Message
	transactions  map[string]*stomp.Transaction

	mutex          sync.Mutex
	errorFrame     string
	isLost         bool
	isClosing      bool
	timesConnected int
}

var (
	connections = map[string]*connection{}
	received    []*stomp.Message
	ackModes    = map[string]stomp.AckMode{
		"auto": stomp.AckAuto, "client": stomp.AckClient, "client-individual": stomp.AckClientIndividual,
	}
)

func open(opened request) (*connection, error) {
	c := &connection{
		opened:        opened,
		subscriptions: map[string]*stomp.Subscription{},
		ended:         map[string]chan struct{}{},
		asked:         map[string]request{},
		messages:      map[string]chan *stomp.Message{},
		transactions:  map[string]*stomp.Transaction{},
	}
	return c, c.dial()
}

func (c *connection) dial() error {
	options := []func(*stomp.Conn) error{
		stomp.ConnOpt.AcceptVersion(stomp.Version(c.opened.Version)),
		stomp.ConnOpt.Host("localhost"),
		stomp.ConnOpt.Logger(quiet{}),
	}
	if c.opened.ClientId != "" {
		options = append(options, stomp.ConnOpt.Header("client-id", c.opened.ClientId))
	}
	if len(c.opened.Beats) == 2 {
		sends := time.Duration(c.opened.Beats[0]) * time.Millisecond
		wants := time.Duration(c.opened.Beats[1]) * time.Millisecond
		options = append(options, stomp.ConnOpt.HeartBeat(sends, wants), stomp.ConnOpt.HeartBeatError(200*time.Millisecond))
	}
	socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.opened.Port))
	if err != nil {
		return err
	}
	conn, err := stomp.Connect(socket, options...)
	if err != nil {
		socket.Close()
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.socket, c.stomp = socket, conn
	c.timesConnected++
	return nil
}

// redial connects and subscribes again until it has worked: go-stomp leaves that to its user.
func (c *connection) redial() {
	for !c.closing() {
		if c.dial() == nil {
			for _, asked := range c.asked {
				c.start(asked)
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (c *connection) closing() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.isClosing
}

// failed notes what an error tells of the connection, and returns it.
func (c *connection) failed(err error) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var told *stomp.Error
	var value stomp.Error
	if errors.As(err, &value) {
		told = &value
	} else {
		errors.As(err, &told)
	}
	if told != nil && told.Frame != nil && told.Frame.Command == frame.ERROR && c.errorFrame == "" {
		c.errorFrame = told.Message
	}
	return err
}

func (c *connection) start(asked request) error {
	options := []func(*frame.Frame) error{stomp.SubscribeOpt.Id(asked.Subscription)}
	for name, value := range asked.Headers {
		options = append(options, stomp.SubscribeOpt.Header(name, value))
	}
	subscription, err := c.stomp.Subscribe(asked.Destination, ackModes[asked.Ack], options...)
	if err != nil {
		return c.failed(err)
	}
	c.subscriptions[asked.Subscription] = subscription
	messages := c.messages[asked.Subscription]
	ended := make(chan struct{})
	c.ended[asked.Subscription] = ended
	go func() {
		defer close(ended)
		for message := range subscription.C {
			if message.Err == nil {
				messages <- message
				continue
			}
			c.failed(message.Err)
			c.mutex.Lock()
			c.isLost = true
			c.mutex.Unlock()
			if c.opened.Reconnects {
				c.redial()
			}
			return
		}
	}()
	return nil
}

func (c *connection) send(r request) error {
	body := r.Bytes
	if r.Text != nil {
		body = []byte(*r.Text)
	}
	options := []func(*frame.Frame) error{stomp.SendOpt.Receipt}
	contentType := ""
	for name, value := range r.Headers {
		if name == frame.ContentType {
			contentType = value
		} else {
			options = append(options, stomp.SendOpt.Header(name, value))
		}
	}
	if transaction := c.transactions[r.Transaction]; transaction != nil {
		return c.failed(transaction.Send(r.Destination, contentType, body, options...))
	}
	return c.failed(c.stomp.Send(r.Destination, contentType, body, options...))
}

// barrier returns when the broker has carried out everything before it: what go-stomp sends without a receipt.
func (c *connection) barrier() error {
	transaction, err := c.stomp.BeginWithError()
	if err != nil {
		return c.failed(err)
	}
	return c.failed(transaction.AbortWithReceipt())
}

func (c *connection) settle(r request) error {
	message := received[r.Number]
	transaction := c.transactions[r.Transaction]
	var err error
	switch {
	case r.Op == "ack" && transaction != nil:
		err = transaction.Ack(message)
	case r.Op == "ack":
		err = c.stomp.Ack(message)
	case transaction != nil:
		err = transaction.Nack(message)
	default:
		err = c.stomp.Nack(message)
	}
	if err != nil {
		return c.failed(err)
	}
	return c.barrier()
}

// unsubscribe returns when go-stomp does, or when its channel is closed, which it is by the RECEIPT: v3.1.5 changes the state of
// a subscription and wakes the waiting Unsubscribe without holding the lock, so that it sometimes sleeps on for 30 s.
func (c *connection) unsubscribe(r request) error {
	var options []func(*frame.Frame) error
	for name, value := range r.Headers {
		options = append(options, stomp.SubscribeOpt.Header(name, value))
	}
	delete(c.asked, r.Subscription)
	returned := make(chan error, 1)
	go func() { returned <- c.subscriptions[r.Subscription].Unsubscribe(options...) }()
	select {
	case err := <-returned:
		return err
	case <-c.ended[r.Subscription]:
		return nil
	}
}

func (c *connection) receive(r request) interface{} {
	select {
	case message := <-c.messages[r.Subscription]:
		received = append(received, message)
		headers := map[string]string{}
		for index := 0; index < message.Header.Len(); index++ {
			name, value := message.Header.GetAt(index)
			if _, isRepeated := headers[name]; !isRepeated {
				headers[name] = value
			}
		}
		body := base64.StdEncoding.EncodeToString(message.Body)
		return map[string]interface{}{"number": len(received) - 1, "headers": headers, "body": body}
	case <-time.After(time.Duration(r.Ms) * time.Millisecond):
		return nil
	}
}

// until reports whether holds, called under the lock, comes true in time.
func (c *connection) until(holds func() bool, ms int) bool {
	end := time.Now().Add(time.Duration(ms) * time.Millisecond)
	for {
		c.mutex.Lock()
		isTrue := holds()
		c.mutex.Unlock()
		if isTrue || time.Now().After(end) {
			return isTrue
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *connection) cut() {
	c.mutex.Lock()
	c.isClosing = true
	c.mutex.Unlock()
	c.socket.Close()
}

func answer(r request) (interface{}, error) {
	if r.Op == "reset" {
		for _, c := range connections {
			c.cut()
		}
		connections = map[string]*connection{}
		return nil, nil
	}
	if r.Op == "open" {
		c, err := open(r)
		if err != nil {
			return nil, err
		}
		connections[r.Connection] = c
		return map[string]string{"version": string(c.stomp.Version()), "server": c.stomp.Server()}, nil
	}
	c := connections[r.Connection]
	switch r.Op {
	case "send":
		return nil, c.send(r)
	case "subscribe":
		c.asked[r.Subscription] = r
		c.messages[r.Subscription] = make(chan *stomp.Message, 10000)
		if err := c.start(r); err != nil {
			return nil, err
		}
		return nil, c.barrier()
	case "unsubscribe":
		return nil, c.unsubscribe(r)
	case "receive":
		return c.receive(r), nil
	case "ack", "nack":
		return nil, c.settle(r)
	case "begin":
		transaction, err := c.stomp.BeginWithError()
		c.transactions[r.Transaction] = transaction
		return nil, c.failed(err)
	case "commit":
		return nil, c.failed(c.transactions[r.Transaction].CommitWithReceipt())
	case "abort":
		return nil, c.failed(c.transactions[r.Transaction].AbortWithReceipt())
	case "error":
		if c.until(func() bool { return c.errorFrame != "" }, r.Ms) {
			return c.errorFrame, nil
		}
		return nil, nil
	case "lost":
		return c.until(func() bool { return c.isLost }, r.Ms), nil
	case "reconnected":
		return c.until(func() bool { return c.timesConnected > 1 }, r.Ms), nil
	case "close":
		return nil, c.stomp.Disconnect()
	case "cut":
		c.cut()
		return nil, nil
	}
	return nil, fmt.Errorf("unknown request %q", r.Op)
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		reply := map[string]interface{}{}
		if err := json.Unmarshal(line, &r); err != nil {
			reply["error"] = err.Error()
		} else if ok, err := answer(r); err != nil {
			reply["error"] = err.Error()
		} else {
			reply["ok"] = ok
		}
		reply["id"] = r.Id
		out, _ := json.Marshal(reply)
		os.Stdout.Write(append(out, '\n'))
	}
}
