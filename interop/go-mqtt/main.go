// Drives paho.mqtt.golang, which speaks MQTT 3.1.1: see interop/mqtt/driver.ts for the requests that come as JSON lines.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const answerMax = 10 * time.Second

type will struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
}

type request struct {
	Id         int    `json:"id"`
	Op         string `json:"op"`
	Connection string `json:"connection"`
	Port       int    `json:"port"`
	ClientId   string `json:"clientId"`
	Clean      bool   `json:"clean"`
	Will       *will  `json:"will"`
	Topic      string `json:"topic"`
	Filter     string `json:"filter"`
	Payload    []byte `json:"payload"`
	Qos        byte   `json:"qos"`
	Retain     bool   `json:"retain"`
	Ms         int    `json:"ms"`
}

type incoming struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
	Qos     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
	Dup     bool   `json:"dup"`
}

type connection struct {
	client   mqtt.Client
	received chan incoming
}

var (
	mutex       sync.Mutex
	connections = map[string]*connection{}
)

func done(token mqtt.Token) error {
	if !token.WaitTimeout(answerMax) {
		return errors.New("no answer in time")
	}
	return token.Error()
}

func open(r request) (any, error) {
	c := &connection{received: make(chan incoming, 10000)}
	take := func(_ mqtt.Client, message mqtt.Message) {
		c.received <- incoming{message.Topic(), message.Payload(), message.Qos(), message.Retained(), message.Duplicate()}
	}
	options := mqtt.NewClientOptions().
		AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", r.Port)).
		SetClientID(r.ClientId).
		SetCleanSession(r.Clean).
		SetProtocolVersion(4).
		SetAutoReconnect(false).
		SetDefaultPublishHandler(take)
	if r.Will != nil {
		options.SetWill(r.Will.Topic, r.Will.Payload, 1, false)
	}
	c.client = mqtt.NewClient(options)
	token := c.client.Connect()
	if err := done(token); err != nil {
		return nil, err
	}
	mutex.Lock()
	connections[r.Connection] = c
	mutex.Unlock()
	return map[string]bool{"isPresent": token.(*mqtt.ConnectToken).SessionPresent()}, nil
}

func answer(r request) (any, error) {
	if r.Op == "open" {
		return open(r)
	}
	mutex.Lock()
	c := connections[r.Connection]
	mutex.Unlock()
	switch r.Op {
	case "reset":
		mutex.Lock()
		defer mutex.Unlock()
		for _, each := range connections {
			each.client.Disconnect(0)
		}
		connections = map[string]*connection{}
		return nil, nil
	case "publish":
		return nil, done(c.client.Publish(r.Topic, r.Qos, r.Retain, r.Payload))
	case "subscribe":
		token := c.client.Subscribe(r.Filter, r.Qos, nil)
		if err := done(token); err != nil {
			return nil, err
		}
		return []int{int(token.(*mqtt.SubscribeToken).Result()[r.Filter])}, nil
	case "unsubscribe":
		return nil, done(c.client.Unsubscribe(r.Filter))
	case "receive":
		select {
		case message := <-c.received:
			return message, nil
		case <-time.After(time.Duration(r.Ms) * time.Millisecond):
			return nil, nil
		}
	case "close":
		c.client.Disconnect(100)
		return nil, nil
	}
	return nil, errors.New("unknown request " + r.Op)
}

func main() {
	var out sync.Mutex
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<16), 1<<24)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		go func() {
			reply := map[string]any{"id": r.Id}
			ok, err := answer(r)
			if err != nil {
				reply["error"] = err.Error()
			} else {
				reply["ok"] = ok
			}
			text, _ := json.Marshal(reply)
			out.Lock()
			defer out.Unlock()
			os.Stdout.Write(append(text, '\n'))
		}()
	}
}
