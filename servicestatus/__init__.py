"""What both programs share: the generated API and the few hand-written rules that protobuf cannot express."""
