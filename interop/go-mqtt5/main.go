// Drives paho.golang, which speaks MQTT 5: see interop/mqtt/driver.ts for the requests that come as JSON lines.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

const answerMax = 10 * time.Second
const keptSeconds = 60

type will struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
}

type properties struct {
	User            [][2]string `json:"user"`
	ContentType     string      `json:"contentType"`
	ResponseTopic   string      `json:"responseTopic"`
	CorrelationData []byte      `json:"correlationData"`
}

type request struct {
	Id         int         `json:"id"`
	Op         string      `json:"op"`
	Connection string      `json:"connection"`
	Port       int         `json:"port"`
	ClientId   string      `json:"clientId"`
	Clean      bool        `json:"clean"`
	Will       *will       `json:"will"`
	Topic      string      `json:"topic"`
	Filter     string      `json:"filter"`
	Payload    []byte      `json:"payload"`
	Qos        byte        `json:"qos"`
	Retain     bool        `json:"retain"`
	Properties *properties `json:"properties"`
	Ms         int         `json:"ms"`
}

type incoming struct {
	Topic           string      `json:"topic"`
	Payload         []byte      `json:"payload"`
	Qos             byte        `json:"qos"`
	Retain          bool        `json:"retain"`
	User            [][2]string `json:"user"`
	ContentType     string      `json:"contentType,omitempty"`
	ResponseTopic   string      `json:"responseTopic,omitempty"`
	CorrelationData []byte      `json:"correlationData,omitempty"`
}

type connection struct {
	client   *paho.Client
	socket   net.Conn
	received chan incoming
}

var (
	mutex       sync.Mutex
	connections = map[string]*connection{}
)

func told(message *paho.Publish) incoming {
	told := incoming{Topic: message.Topic, Payload: message.Payload, Qos: message.QoS, Retain: message.Retain, User: [][2]string{}}
	if message.Properties == nil {
		return told
	}
	for _, each := range message.Properties.User {
		told.User = append(told.User, [2]string{each.Key, each.Value})
	}
	told.ContentType = message.Properties.ContentType
	told.ResponseTopic = message.Properties.ResponseTopic
	told.CorrelationData = message.Properties.CorrelationData
	return told
}

func open(ctx context.Context, r request) (any, error) {
	socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port))
	if err != nil {
		return nil, err
	}
	c := &connection{socket: packets.NewThreadSafeConn(socket), received: make(chan incoming, 10000)}
	c.client = paho.NewClient(paho.ClientConfig{
		Conn: c.socket,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(got paho.PublishReceived) (bool, error) {
				c.received <- told(got.Packet)
				return true, nil
			},
		},
	})
	expiry := uint32(keptSeconds)
	if r.Clean {
		expiry = 0
	}
	packet := &paho.Connect{
		ClientID:   r.ClientId,
		CleanStart: r.Clean,
		KeepAlive:  30,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, RequestProblemInfo: true},
	}
	if r.Will != nil {
		packet.WillMessage = &paho.WillMessage{Topic: r.Will.Topic, Payload: []byte(r.Will.Payload), QoS: 1}
	}
	answer, err := c.client.Connect(ctx, packet)
	if err != nil {
		return nil, err
	}
	mutex.Lock()
	connections[r.Connection] = c
	mutex.Unlock()
	return map[string]bool{"isPresent": answer.SessionPresent}, nil
}

func published(r request) *paho.Publish {
	packet := &paho.Publish{Topic: r.Topic, QoS: r.Qos, Retain: r.Retain, Payload: r.Payload}
	if r.Properties == nil {
		return packet
	}
	packet.Properties = &paho.PublishProperties{
		ContentType:     r.Properties.ContentType,
		ResponseTopic:   r.Properties.ResponseTopic,
		CorrelationData: r.Properties.CorrelationData,
	}
	for _, each := range r.Properties.User {
		packet.Properties.User.Add(each[0], each[1])
	}
	return packet
}

func answer(r request) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerMax)
	defer cancel()
	if r.Op == "open" {
		return open(ctx, r)
	}
	mutex.Lock()
	c := connections[r.Connection]
	mutex.Unlock()
	switch r.Op {
	case "reset":
		mutex.Lock()
		defer mutex.Unlock()
		for _, each := range connections {
			each.client.Disconnect(&paho.Disconnect{})
		}
		connections = map[string]*connection{}
		return nil, nil
	case "publish":
		_, err := c.client.Publish(ctx, published(r))
		return nil, err
	case "subscribe":
		options := []paho.SubscribeOptions{{Topic: r.Filter, QoS: r.Qos}}
		granted, err := c.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: options})
		if err != nil {
			return nil, err
		}
		return []int{int(granted.Reasons[0])}, nil
	case "unsubscribe":
		_, err := c.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{r.Filter}})
		return nil, err
	case "receive":
		select {
		case message := <-c.received:
			return message, nil
		case <-time.After(time.Duration(r.Ms) * time.Millisecond):
			return nil, nil
		}
	case "close":
		return nil, c.client.Disconnect(&paho.Disconnect{})
	case "cut":
		return nil, c.socket.Close()
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
