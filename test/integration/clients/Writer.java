// Writes a row every 200 ms with pgJDBC, each over a connection of its own, and says what came of each:
// java -cp postgresql.jar Writer.java URL WHO, the password on standard input.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.Properties;

class Writer {
  public static void main(String[] args) throws Exception {
    Properties login = new Properties();
    login.setProperty("password", new BufferedReader(new InputStreamReader(System.in)).readLine());
    while (true) {
      try (Connection connection = DriverManager.getConnection(args[0], login);
          PreparedStatement insert = connection.prepareStatement("INSERT INTO written (who) VALUES (?)")) {
        insert.setString(1, args[1]);
        insert.executeUpdate();
        System.out.println("ok");
      } catch (SQLException thrown) {
        System.out.println("error " + thrown.getSQLState() + " " + thrown.getMessage().replace('\n', ' '));
      }
      Thread.sleep(200);
    }
  }
}
