// Answers a question about a text, without a picture: Ask MODEL "context and question"
import Rudolph

@main
struct Ask {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: Ask MODEL \"context and question\"")
            return
        }
        let session = try Session(Model(path: arguments[1]))
        for answer in try Asker(session).ask(arguments[2], about: nil) { print(answer.text) }
    }
}
