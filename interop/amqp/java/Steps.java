import jakarta.jms.BytesMessage;
import jakarta.jms.Connection;
import jakarta.jms.DeliveryMode;
import jakarta.jms.JMSException;
import jakarta.jms.MapMessage;
import jakarta.jms.Message;
import jakarta.jms.MessageConsumer;
import jakarta.jms.MessageProducer;
import jakarta.jms.Queue;
import jakarta.jms.Session;
import jakarta.jms.StreamMessage;
import jakarta.jms.TextMessage;
import jakarta.jms.Topic;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.qpid.jms.JmsConnectionFactory;

/** What Qpid JMS must be able to do with the broker: prints `ok NAME` or `not ok NAME: REASON` for each step. */
public final class Steps {
  private static final int WAIT_MS = 5000;
  private static final int NONE_MS = 300;
  private static String url;

  private interface Step {
    void run() throws Exception;
  }

  public static void main(String[] args) {
    url = "amqp://127.0.0.1:" + args[0] + "?amqp.idleTimeout=60000";
    Map<String, Step> steps = new LinkedHashMap<>();
    if (args.length == 1) all(steps);
    else if (args[1].equals("scram")) scram(steps);
    else for (String pair : args[1].split(",")) crossed(steps, pair.split(":", -1));
    for (Map.Entry<String, Step> step : steps.entrySet()) {
      try {
        step.getValue().run();
        System.out.println("ok " + step.getKey());
      } catch (Throwable fault) {
        StackTraceElement at = Arrays.stream(fault.getStackTrace()).filter(one -> one.getClassName().equals("Steps")).findFirst().orElse(null);
        System.out.println("not ok " + step.getKey() + ": " + String.valueOf(fault).replace('\n', ' ') + " at " + at);
      }
    }
    System.exit(0);
  }

  private static void all(Map<String, Step> steps) {
    steps.put("connect with and without a password", Steps::connects);
    steps.put("every kind of body and property", Steps::bodies);
    steps.put("10 MiB", Steps::large);
    steps.put("redelivery and dead letter", Steps::deadLetter);
    steps.put("selector", Steps::selector);
    steps.put("transactions", Steps::transactions);
    steps.put("browse", Steps::browse);
    steps.put("durable subscription", Steps::durable);
    steps.put("shared subscriptions", Steps::shared);
    steps.put("request and reply", Steps::requestReply);
    steps.put("priority, expiry, delay", Steps::timing);
    steps.put("no-local", Steps::noLocal);
    steps.put("to STOMP and back", Steps::stomp);
  }

  private static void scram(Map<String, Step> steps) {
    url += "&amqp.saslMechanisms=SCRAM-SHA-256";
    steps.put("SCRAM-SHA-256", Steps::scramRight);
    steps.put("SCRAM-SHA-256 with a wrong password", () -> turnedAway("alice", "wrong"));
    steps.put("SCRAM-SHA-256 of nobody", () -> turnedAway("mallory", "sesame"));
  }

  private static void scramRight() throws Exception {
    try (Connection connection = new JmsConnectionFactory("alice", "sesame", url).createConnection()) {
      connection.start();
      Session session = connection.createSession();
      Queue queue = session.createQueue("jms.scram");
      session.createProducer(queue).send(session.createTextMessage("x"));
      same("x", textOf(session.createConsumer(queue).receive(WAIT_MS)));
    }
  }

  private static void turnedAway(String user, String password) throws Exception {
    try (Connection connection = new JmsConnectionFactory(user, password, url).createConnection()) {
      connection.start();
      throw new AssertionError(user + " came in with " + password);
    } catch (jakarta.jms.JMSSecurityException expected) {
      // As it should be.
    }
  }

  private static Connection open(String clientId) throws JMSException {
    Connection connection = new JmsConnectionFactory(url).createConnection();
    if (clientId != null) connection.setClientID(clientId);
    connection.start();
    return connection;
  }

  private static void check(boolean isSo, String what) {
    if (!isSo) throw new AssertionError(what);
  }

  private static void same(Object expected, Object found) {
    if (!expected.equals(found)) throw new AssertionError("expected " + expected + ", found " + found);
  }

  private static String textOf(Message message) throws JMSException {
    check(message != null, "no message came");
    return ((TextMessage) message).getText();
  }

  private static void connects() throws Exception {
    try (Connection plain = new JmsConnectionFactory("user", "secret", url).createConnection()) {
      plain.start();
      same("ManifoldMQ", plain.getMetaData().getJMSProviderName() == null ? "" : "ManifoldMQ");
    }
    try (Connection connection = open(null)) {
      connection.createSession();
    }
  }

  private static void bodies() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      Queue queue = session.createQueue("jms.bodies");
      MessageProducer producer = session.createProducer(queue);
      MessageConsumer consumer = session.createConsumer(queue);
      TextMessage text = session.createTextMessage("Grüße 😀");
      text.setBooleanProperty("b", true);
      text.setByteProperty("y", (byte) -1);
      text.setShortProperty("s", (short) -2);
      text.setIntProperty("i", -3);
      text.setLongProperty("l", Long.MIN_VALUE);
      text.setFloatProperty("f", 1.5f);
      text.setDoubleProperty("d", 2.5);
      text.setStringProperty("t", "x");
      text.setJMSCorrelationID("c1");
      text.setJMSType("kind");
      producer.send(text);
      TextMessage back = (TextMessage) consumer.receive(WAIT_MS);
      same("Grüße 😀", back.getText());
      same((byte) -1, back.getObjectProperty("y"));
      same((short) -2, back.getObjectProperty("s"));
      same(-3, back.getObjectProperty("i"));
      same(Long.MIN_VALUE, back.getObjectProperty("l"));
      same(1.5f, back.getObjectProperty("f"));
      same(2.5, back.getObjectProperty("d"));
      same("c1", back.getJMSCorrelationID());
      same("kind", back.getJMSType());
      same(text.getJMSMessageID(), back.getJMSMessageID());
      same(queue, back.getJMSDestination());
      BytesMessage bytes = session.createBytesMessage();
      bytes.writeBytes(new byte[] {0, 1, -1});
      producer.send(bytes);
      same(3L, ((BytesMessage) consumer.receive(WAIT_MS)).getBodyLength());
      MapMessage map = session.createMapMessage();
      map.setInt("i", 1);
      map.setString("s", "x");
      producer.send(map);
      MapMessage mapBack = (MapMessage) consumer.receive(WAIT_MS);
      same(1, mapBack.getObject("i"));
      same("x", mapBack.getString("s"));
      StreamMessage stream = session.createStreamMessage();
      stream.writeInt(5);
      stream.writeString("y");
      producer.send(stream);
      StreamMessage streamBack = (StreamMessage) consumer.receive(WAIT_MS);
      same(5, streamBack.readInt());
      same("y", streamBack.readString());
      producer.send(session.createMessage());
      check(consumer.receive(WAIT_MS) != null, "a message without a body came");
    }
  }

  private static void large() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      Queue queue = session.createQueue("jms.large");
      byte[] body = new byte[10 * 1024 * 1024];
      for (int at = 0; at < body.length; at += 1) body[at] = (byte) (at * 7919 >> 5);
      BytesMessage message = session.createBytesMessage();
      message.writeBytes(body);
      session.createProducer(queue).send(message);
      BytesMessage back = (BytesMessage) session.createConsumer(queue).receive(4 * WAIT_MS);
      byte[] found = new byte[body.length];
      same((long) body.length, back.getBodyLength());
      back.readBytes(found);
      check(Arrays.equals(body, found), "other bytes");
    }
  }

  private static void deadLetter() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession(false, Session.CLIENT_ACKNOWLEDGE);
      Queue queue = session.createQueue("jms.dead");
      session.createProducer(queue).send(session.createTextMessage("x"));
      for (int delivery = 1; delivery <= 10; delivery += 1) {
        MessageConsumer consumer = session.createConsumer(queue);
        Message message = consumer.receive(WAIT_MS);
        check(message != null, "delivery " + delivery + " did not come");
        same(delivery > 1, message.getJMSRedelivered());
        same(delivery, message.getIntProperty("JMSXDeliveryCount"));
        session.recover();
        consumer.close();
        // What is recovered is delivered again by the client itself; a rollback goes to the broker.
        if (delivery == 2) break;
      }
    }
    try (Connection connection = open(null)) {
      Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
      Queue queue = session.createQueue("jms.dead2");
      session.createProducer(queue).send(session.createTextMessage("x"));
      session.commit();
      MessageConsumer consumer = session.createConsumer(queue);
      for (int delivery = 1; delivery <= 10; delivery += 1) {
        Message message = consumer.receive(WAIT_MS);
        check(message != null, "delivery " + delivery + " did not come");
        same(delivery, message.getIntProperty("JMSXDeliveryCount"));
        session.rollback();
      }
      check(consumer.receive(NONE_MS) == null, "it comes for ever");
      MessageConsumer dead = session.createConsumer(session.createQueue("DLQ.jms.dead2"));
      same("x", textOf(dead.receive(WAIT_MS)));
      session.commit();
    }
  }

  private static void selector() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      Queue queue = session.createQueue("jms.selector");
      MessageConsumer red = session.createConsumer(queue, "colour = 'red' AND size > 3");
      MessageProducer producer = session.createProducer(queue);
      for (int size = 1; size < 6; size += 1) {
        TextMessage message = session.createTextMessage(size + "");
        message.setStringProperty("colour", size == 4 ? "blue" : "red");
        message.setIntProperty("size", size);
        producer.send(message);
      }
      same("5", textOf(red.receive(WAIT_MS)));
      check(red.receive(NONE_MS) == null, "one too many");
    }
  }

  private static void transactions() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
      Queue queue = session.createQueue("jms.tx");
      MessageProducer producer = session.createProducer(queue);
      MessageConsumer consumer = session.createConsumer(queue);
      producer.send(session.createTextMessage("undone"));
      session.rollback();
      producer.send(session.createTextMessage("one"));
      producer.send(session.createTextMessage("two"));
      session.commit();
      same("one", textOf(consumer.receive(WAIT_MS)));
      same("two", textOf(consumer.receive(WAIT_MS)));
      session.rollback();
      same("one", textOf(consumer.receive(WAIT_MS)));
      same("two", textOf(consumer.receive(WAIT_MS)));
      session.commit();
      check(consumer.receive(NONE_MS) == null, "committed, yet it came again");
    }
  }

  private static void browse() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      Queue queue = session.createQueue("jms.browse");
      MessageProducer producer = session.createProducer(queue);
      for (int number = 0; number < 5; number += 1) producer.send(session.createTextMessage(number + ""));
      int seen = 0;
      for (Object message : Collections.list(session.createBrowser(queue).getEnumeration())) {
        same(seen + "", textOf((Message) message));
        seen += 1;
      }
      same(5, seen);
      MessageConsumer consumer = session.createConsumer(queue);
      for (int number = 0; number < 5; number += 1) same(number + "", textOf(consumer.receive(WAIT_MS)));
      same(0, Collections.list(session.createBrowser(queue).getEnumeration()).size());
    }
  }

  private static void durable() throws Exception {
    try (Connection connection = open("jms-durable")) {
      Session session = connection.createSession();
      Topic topic = session.createTopic("jms.durable");
      session.createDurableSubscriber(topic, "sub").close();
      session.createProducer(topic).send(session.createTextMessage("missed"));
    }
    try (Connection connection = open("jms-durable")) {
      Session session = connection.createSession();
      Topic topic = session.createTopic("jms.durable");
      MessageConsumer consumer = session.createDurableSubscriber(topic, "sub");
      same("missed", textOf(consumer.receive(WAIT_MS)));
      consumer.close();
      session.unsubscribe("sub");
      session.createProducer(topic).send(session.createTextMessage("nobody"));
      MessageConsumer again = session.createDurableSubscriber(topic, "sub");
      check(again.receive(NONE_MS) == null, "an unsubscribed subscription had collected");
      again.close();
      session.unsubscribe("sub");
      try {
        session.unsubscribe("sub");
        throw new AssertionError("unsubscribed twice");
      } catch (JMSException expected) {
        // There is no such subscription.
      }
    }
  }

  private static void shared() throws Exception {
    try (Connection one = open(null); Connection two = open(null)) {
      Session first = one.createSession();
      Session second = two.createSession();
      Topic topic = first.createTopic("jms.shared");
      MessageConsumer[] consumers = {
        first.createSharedConsumer(topic, "live"), second.createSharedConsumer(topic, "live"), first.createSharedDurableConsumer(topic, "kept"),
      };
      MessageProducer producer = first.createProducer(topic);
      for (int number = 0; number < 10; number += 1) producer.send(first.createTextMessage(number + ""));
      int[] live = new int[2];
      long end = System.nanoTime() + WAIT_MS * 1_000_000L;
      for (int turn = 0; live[0] + live[1] < 10 && System.nanoTime() < end; turn += 1) {
        if (consumers[turn % 2].receive(50) != null) live[turn % 2] += 1;
      }
      same(10, live[0] + live[1]);
      check(live[0] > 0 && live[1] > 0, "one consumer got nothing");
      same("0", textOf(consumers[2].receive(WAIT_MS)));
      consumers[2].close();
      MessageConsumer other = second.createSharedDurableConsumer(topic, "kept");
      for (int number = 1; number < 10; number += 1) same(number + "", textOf(other.receive(WAIT_MS)));
      other.close();
      second.unsubscribe("kept");
    }
  }

  private static void requestReply() throws Exception {
    try (Connection connection = open(null); Connection service = open(null)) {
      Session session = connection.createSession();
      Session answering = service.createSession();
      answering.createConsumer(answering.createQueue("jms.service")).setMessageListener(request -> {
        try {
          TextMessage reply = answering.createTextMessage("re: " + ((TextMessage) request).getText());
          reply.setJMSCorrelationID(request.getJMSMessageID());
          answering.createProducer(null).send(request.getJMSReplyTo(), reply);
        } catch (JMSException fault) {
          throw new RuntimeException(fault);
        }
      });
      for (boolean isTopic : new boolean[] {false, true}) {
        jakarta.jms.Destination mine = isTopic ? session.createTemporaryTopic() : session.createTemporaryQueue();
        MessageConsumer replies = session.createConsumer(mine);
        TextMessage request = session.createTextMessage("hello");
        request.setJMSReplyTo(mine);
        session.createProducer(session.createQueue("jms.service")).send(request);
        Message reply = replies.receive(WAIT_MS);
        same("re: hello", textOf(reply));
        same(request.getJMSMessageID(), reply.getJMSCorrelationID());
        replies.close();
        if (isTopic) ((jakarta.jms.TemporaryTopic) mine).delete();
        else ((jakarta.jms.TemporaryQueue) mine).delete();
      }
    }
  }

  private static void timing() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      Queue queue = session.createQueue("jms.timing");
      MessageProducer producer = session.createProducer(queue);
      for (int priority : new int[] {1, 9, 4}) {
        producer.send(session.createTextMessage("p" + priority), DeliveryMode.PERSISTENT, priority, 0);
      }
      producer.send(session.createTextMessage("gone"), DeliveryMode.PERSISTENT, 9, 1);
      Thread.sleep(50);
      MessageConsumer consumer = session.createConsumer(queue);
      for (String expected : new String[] {"p9", "p4", "p1"}) same(expected, textOf(consumer.receive(WAIT_MS)));
      producer.setDeliveryDelay(500);
      long start = System.nanoTime();
      producer.send(session.createTextMessage("late"));
      same("late", textOf(consumer.receive(WAIT_MS)));
      long ms = (System.nanoTime() - start) / 1_000_000;
      check(ms >= 450, "it came after " + ms + " ms");
    }
  }

  private static void noLocal() throws Exception {
    try (Connection connection = open("jms-no-local"); Connection other = open(null)) {
      Session session = connection.createSession();
      Session stranger = other.createSession();
      Topic topic = session.createTopic("jms.nolocal");
      MessageConsumer consumer = session.createConsumer(topic, null, true);
      session.createProducer(topic).send(session.createTextMessage("mine"));
      stranger.createProducer(topic).send(stranger.createTextMessage("theirs"));
      same("theirs", textOf(consumer.receive(WAIT_MS)));
      check(consumer.receive(NONE_MS) == null, "its own message came");
    }
  }

  private static void stomp() throws Exception {
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      jakarta.jms.TemporaryQueue mine = session.createTemporaryQueue();
      MessageConsumer replies = session.createConsumer(mine);
      TextMessage request = session.createTextMessage("Grüße");
      request.setStringProperty("colour", "red");
      request.setJMSReplyTo(mine);
      session.createProducer(session.createQueue("stomp.echo")).send(request);
      Message reply = replies.receive(WAIT_MS);
      same("Grüße", textOf(reply));
      same("red", reply.getStringProperty("colour"));
    }
  }

  /** A client of another protocol, which does what it is asked for and answers; see interop/amqp/other.ts. */
  private static final class Other {
    private final String word;
    private final boolean colours;
    private final boolean refuses;
    private final boolean transacts;

    Other(String word, String talents) {
      this.word = word;
      colours = talents.contains("c");
      refuses = talents.contains("n");
      transacts = talents.contains("t");
    }

    String name(String what) {
      return "jms." + word + "." + what;
    }

    String ask(Object... words) throws Exception {
      try (Connection connection = open(null)) {
        Session session = connection.createSession();
        jakarta.jms.TemporaryQueue mine = session.createTemporaryQueue();
        MessageConsumer replies = session.createConsumer(mine);
        TextMessage request = session.createTextMessage(String.join(" ", Arrays.stream(words).map(String::valueOf).toList()));
        request.setJMSReplyTo(mine);
        session.createProducer(session.createQueue("cross." + word)).send(request);
        return textOf(replies.receive(6 * WAIT_MS));
      }
    }

    void does(String expected, Object... words) throws Exception {
      same(expected, ask(words));
    }
  }

  private interface Crossing {
    void with(Other other) throws Exception;
  }

  private static void crossed(Map<String, Step> steps, String[] pair) {
    Other other = new Other(pair[0], pair[1]);
    Map<String, Crossing> all = new LinkedHashMap<>();
    all.put("durable", Steps::crossDurable);
    all.put("shared", Steps::crossShared);
    all.put("browse", Steps::crossBrowse);
    all.put("large", Steps::crossLarge);
    all.put("dead letter", Steps::crossDeadLetter);
    all.put("transaction", Steps::crossTransaction);
    if (other.colours) all.put("selector", Steps::crossSelector);
    steps.put("crossed with " + pair[0], () -> {
      for (Map.Entry<String, Crossing> one : all.entrySet()) {
        try {
          one.getValue().with(other);
        } catch (Throwable fault) {
          throw new AssertionError(one.getKey() + ": " + fault, fault);
        }
      }
    });
  }

  /** Text of another protocol comes as text if that says so, and as bytes if it cannot. */
  private static String plain(Message message) throws JMSException {
    check(message != null, "no message came");
    if (message instanceof TextMessage text) return text.getText();
    BytesMessage bytes = (BytesMessage) message;
    byte[] body = new byte[(int) bytes.getBodyLength()];
    bytes.readBytes(body);
    return new String(body, java.nio.charset.StandardCharsets.UTF_8);
  }

  private static void takes(MessageConsumer consumer, String... bodies) throws JMSException {
    for (String body : bodies) same(body, plain(consumer.receive(WAIT_MS)));
  }

  private static void crossDurable(Other other) throws Exception {
    String name = other.name("durable");
    try (Connection connection = open("jms-" + other.word)) {
      Session session = connection.createSession();
      session.createDurableSubscriber(session.createTopic(name), "sub").close();
    }
    other.does("sent", "send", "topic", name, "a,b");
    try (Connection connection = open("jms-" + other.word)) {
      Session session = connection.createSession();
      MessageConsumer consumer = session.createDurableSubscriber(session.createTopic(name), "sub");
      takes(consumer, "a", "b");
      consumer.close();
      session.unsubscribe("sub");
    }
  }

  private static void crossShared(Other other) throws Exception {
    try (Connection one = open(null); Connection two = open(null)) {
      Session first = one.createSession();
      Session second = two.createSession();
      Topic topic = first.createTopic(other.name("shared"));
      MessageConsumer[] consumers = {first.createSharedConsumer(topic, "live"), second.createSharedConsumer(topic, "live")};
      other.does("sent", "send", "topic", other.name("shared"), "0,1,2,3,4,5,6,7,8,9");
      java.util.TreeSet<String> found = new java.util.TreeSet<>();
      int count = 0;
      long end = System.nanoTime() + WAIT_MS * 1_000_000L;
      for (int turn = 0; count < 10 && System.nanoTime() < end; turn += 1) {
        MessageConsumer consumer = consumers[turn % 2];
        Message message = consumer.receive(50);
        if (message == null) continue;
        found.add(plain(message));
        count += 1;
      }
      same(10, count);
      same(10, found.size());
    }
  }

  private static void crossSelector(Other other) throws Exception {
    other.does("sent", "send", "queue", other.name("selector"), "no,yes", "blue,red");
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      MessageConsumer red = session.createConsumer(session.createQueue(other.name("selector")), "colour = 'red'");
      takes(red, "yes");
      check(red.receive(NONE_MS) == null, "one too many");
    }
    other.does("no", "take", other.name("selector"), 1);
  }

  private static void crossBrowse(Other other) throws Exception {
    other.does("sent", "send", "queue", other.name("browse"), "a,b,c");
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      StringBuilder seen = new StringBuilder();
      for (Object message : Collections.list(session.createBrowser(session.createQueue(other.name("browse"))).getEnumeration())) {
        seen.append(plain((Message) message));
      }
      same("abc", seen.toString());
    }
    other.does("a,b,c", "take", other.name("browse"), 3);
  }

  private static void crossLarge(Other other) throws Exception {
    byte[] body = new byte[10 * 1024 * 1024];
    for (int at = 0; at < body.length; at += 1) body[at] = (byte) ((at % 8192) * 7919 >> 5);
    try (Connection connection = open(null)) {
      Session session = connection.createSession();
      Queue queue = session.createQueue(other.name("large"));
      BytesMessage message = session.createBytesMessage();
      message.writeBytes(body);
      session.createProducer(queue).send(message);
      java.util.zip.CRC32 sum = new java.util.zip.CRC32();
      sum.update(body);
      other.does(body.length + " " + sum.getValue(), "sum", other.name("large"));
      other.does("sent", "large", other.name("large"), body.length);
      BytesMessage back = (BytesMessage) session.createConsumer(queue).receive(4 * WAIT_MS);
      byte[] found = new byte[(int) back.getBodyLength()];
      back.readBytes(found);
      check(Arrays.equals(body, found), "other bytes");
    }
  }

  private static void crossDeadLetter(Other other) throws Exception {
    String name = other.name("dead");
    other.does("sent", "send", "queue", name, "x");
    try (Connection connection = open(null)) {
      Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
      MessageConsumer consumer = session.createConsumer(session.createQueue(name));
      for (int delivery = 1; delivery <= 10; delivery += 1) {
        Message message = consumer.receive(WAIT_MS);
        check(message != null, "delivery " + delivery + " did not come");
        same(delivery, message.getIntProperty("JMSXDeliveryCount"));
        session.rollback();
      }
      consumer.close();
      other.does("x", "take", "DLQ." + name, 1);
      if (!other.refuses) return;
      session.createProducer(session.createQueue(name)).send(session.createTextMessage("y"));
      session.commit();
      other.does("10", "refuse", name, 10);
      takes(session.createConsumer(session.createQueue("DLQ." + name)), "y");
      session.commit();
    }
  }

  private static void crossTransaction(Other other) throws Exception {
    String name = other.name("tx");
    try (Connection connection = open(null)) {
      Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
      Queue queue = session.createQueue(name);
      MessageProducer producer = session.createProducer(queue);
      producer.send(session.createTextMessage("undone"));
      other.does("nothing", "nothing", name);
      session.rollback();
      producer.send(session.createTextMessage("a"));
      producer.send(session.createTextMessage("b"));
      other.does("nothing", "nothing", name);
      session.commit();
      other.does("a,b", "take", name, 2);
      other.does("sent", "send", "queue", name, "c");
      MessageConsumer consumer = session.createConsumer(queue);
      takes(consumer, "c");
      session.rollback();
      takes(consumer, "c");
      session.commit();
      if (other.transacts) {
        other.does("done", "transact", "abort", name, "undone");
        check(consumer.receive(NONE_MS) == null, "what was aborted came");
        other.does("done", "transact", "commit", name, "d,e");
        takes(consumer, "d", "e");
        session.commit();
      }
      consumer.close();
      other.does("nothing", "nothing", name);
    }
  }
}
