/** Generated from schema/e2b/process.proto by `npm run generate`: the messages and the service. */
import type { GenEnum, GenFile, GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";
export declare const file_process: GenFile;
export declare type PTY = Message<"process.PTY"> & {
  size?: PTY_Size | undefined;
};
export declare const PTYSchema: GenMessage<PTY>;
export declare type PTY_Size = Message<"process.PTY.Size"> & {
  cols: number;
  rows: number;
};
export declare const PTY_SizeSchema: GenMessage<PTY_Size>;
export declare type ProcessConfig = Message<"process.ProcessConfig"> & {
  cmd: string;
  args: string[];
  envs: { [key: string]: string };
  cwd?: string | undefined;
};
export declare const ProcessConfigSchema: GenMessage<ProcessConfig>;
export declare type ProcessInfo = Message<"process.ProcessInfo"> & {
  config?: ProcessConfig | undefined;
  pid: number;
  tag?: string | undefined;
};
export declare const ProcessInfoSchema: GenMessage<ProcessInfo>;
export declare type ProcessSelector = Message<"process.ProcessSelector"> & {
  selector: {
    value: number;
    case: "pid";
  } | {
    value: string;
    case: "tag";
  } | { case: undefined; value?: undefined };
};
export declare const ProcessSelectorSchema: GenMessage<ProcessSelector>;
export declare type ProcessInput = Message<"process.ProcessInput"> & {
  input: {
    value: Uint8Array;
    case: "stdin";
  } | {
    value: Uint8Array;
    case: "pty";
  } | { case: undefined; value?: undefined };
};
export declare const ProcessInputSchema: GenMessage<ProcessInput>;
export declare type ProcessEvent = Message<"process.ProcessEvent"> & {
  event: {
    value: ProcessEvent_StartEvent;
    case: "start";
  } | {
    value: ProcessEvent_DataEvent;
    case: "data";
  } | {
    value: ProcessEvent_EndEvent;
    case: "end";
  } | {
    value: ProcessEvent_KeepAlive;
    case: "keepalive";
  } | { case: undefined; value?: undefined };
};
export declare const ProcessEventSchema: GenMessage<ProcessEvent>;
export declare type ProcessEvent_StartEvent = Message<"process.ProcessEvent.StartEvent"> & {
  pid: number;
};
export declare const ProcessEvent_StartEventSchema: GenMessage<ProcessEvent_StartEvent>;
export declare type ProcessEvent_DataEvent = Message<"process.ProcessEvent.DataEvent"> & {
  output: {
    value: Uint8Array;
    case: "stdout";
  } | {
    value: Uint8Array;
    case: "stderr";
  } | {
    value: Uint8Array;
    case: "pty";
  } | { case: undefined; value?: undefined };
};
export declare const ProcessEvent_DataEventSchema: GenMessage<ProcessEvent_DataEvent>;
export declare type ProcessEvent_EndEvent = Message<"process.ProcessEvent.EndEvent"> & {
  exitCode: number;
  exited: boolean;
  status: string;
  error?: string | undefined;
};
export declare const ProcessEvent_EndEventSchema: GenMessage<ProcessEvent_EndEvent>;
export declare type ProcessEvent_KeepAlive = Message<"process.ProcessEvent.KeepAlive"> & {
};
export declare const ProcessEvent_KeepAliveSchema: GenMessage<ProcessEvent_KeepAlive>;
export declare type ListRequest = Message<"process.ListRequest"> & {
};
export declare const ListRequestSchema: GenMessage<ListRequest>;
export declare type ListResponse = Message<"process.ListResponse"> & {
  processes: ProcessInfo[];
};
export declare const ListResponseSchema: GenMessage<ListResponse>;
export declare type StartRequest = Message<"process.StartRequest"> & {
  process?: ProcessConfig | undefined;
  pty?: PTY | undefined;
  tag?: string | undefined;
  stdin?: boolean | undefined;
};
export declare const StartRequestSchema: GenMessage<StartRequest>;
export declare type StartResponse = Message<"process.StartResponse"> & {
  event?: ProcessEvent | undefined;
};
export declare const StartResponseSchema: GenMessage<StartResponse>;
export declare type ConnectRequest = Message<"process.ConnectRequest"> & {
  process?: ProcessSelector | undefined;
};
export declare const ConnectRequestSchema: GenMessage<ConnectRequest>;
export declare type ConnectResponse = Message<"process.ConnectResponse"> & {
  event?: ProcessEvent | undefined;
};
export declare const ConnectResponseSchema: GenMessage<ConnectResponse>;
export declare type UpdateRequest = Message<"process.UpdateRequest"> & {
  process?: ProcessSelector | undefined;
  pty?: PTY | undefined;
};
export declare const UpdateRequestSchema: GenMessage<UpdateRequest>;
export declare type UpdateResponse = Message<"process.UpdateResponse"> & {
};
export declare const UpdateResponseSchema: GenMessage<UpdateResponse>;
export declare type SendInputRequest = Message<"process.SendInputRequest"> & {
  process?: ProcessSelector | undefined;
  input?: ProcessInput | undefined;
};
export declare const SendInputRequestSchema: GenMessage<SendInputRequest>;
export declare type SendInputResponse = Message<"process.SendInputResponse"> & {
};
export declare const SendInputResponseSchema: GenMessage<SendInputResponse>;
export declare type StreamInputRequest = Message<"process.StreamInputRequest"> & {
  event: {
    value: StreamInputRequest_StartEvent;
    case: "start";
  } | {
    value: StreamInputRequest_DataEvent;
    case: "data";
  } | {
    value: StreamInputRequest_KeepAlive;
    case: "keepalive";
  } | { case: undefined; value?: undefined };
};
export declare const StreamInputRequestSchema: GenMessage<StreamInputRequest>;
export declare type StreamInputRequest_StartEvent = Message<"process.StreamInputRequest.StartEvent"> & {
  process?: ProcessSelector | undefined;
};
export declare const StreamInputRequest_StartEventSchema: GenMessage<StreamInputRequest_StartEvent>;
export declare type StreamInputRequest_DataEvent = Message<"process.StreamInputRequest.DataEvent"> & {
  input?: ProcessInput | undefined;
};
export declare const StreamInputRequest_DataEventSchema: GenMessage<StreamInputRequest_DataEvent>;
export declare type StreamInputRequest_KeepAlive = Message<"process.StreamInputRequest.KeepAlive"> & {
};
export declare const StreamInputRequest_KeepAliveSchema: GenMessage<StreamInputRequest_KeepAlive>;
export declare type StreamInputResponse = Message<"process.StreamInputResponse"> & {
};
export declare const StreamInputResponseSchema: GenMessage<StreamInputResponse>;
export declare type SendSignalRequest = Message<"process.SendSignalRequest"> & {
  process?: ProcessSelector | undefined;
  signal: Signal;
};
export declare const SendSignalRequestSchema: GenMessage<SendSignalRequest>;
export declare type SendSignalResponse = Message<"process.SendSignalResponse"> & {
};
export declare const SendSignalResponseSchema: GenMessage<SendSignalResponse>;
export declare type CloseStdinRequest = Message<"process.CloseStdinRequest"> & {
  process?: ProcessSelector | undefined;
};
export declare const CloseStdinRequestSchema: GenMessage<CloseStdinRequest>;
export declare type CloseStdinResponse = Message<"process.CloseStdinResponse"> & {
};
export declare const CloseStdinResponseSchema: GenMessage<CloseStdinResponse>;
export enum Signal {
  UNSPECIFIED = 0,
  SIGKILL = 9,
  SIGTERM = 15,
}
export declare const SignalSchema: GenEnum<Signal>;
export declare const Process: GenService<{
  list: {
    methodKind: "unary";
    input: typeof ListRequestSchema;
    output: typeof ListResponseSchema;
  },
  connect: {
    methodKind: "server_streaming";
    input: typeof ConnectRequestSchema;
    output: typeof ConnectResponseSchema;
  },
  start: {
    methodKind: "server_streaming";
    input: typeof StartRequestSchema;
    output: typeof StartResponseSchema;
  },
  update: {
    methodKind: "unary";
    input: typeof UpdateRequestSchema;
    output: typeof UpdateResponseSchema;
  },
  streamInput: {
    methodKind: "client_streaming";
    input: typeof StreamInputRequestSchema;
    output: typeof StreamInputResponseSchema;
  },
  sendInput: {
    methodKind: "unary";
    input: typeof SendInputRequestSchema;
    output: typeof SendInputResponseSchema;
  },
  sendSignal: {
    methodKind: "unary";
    input: typeof SendSignalRequestSchema;
    output: typeof SendSignalResponseSchema;
  },
  closeStdin: {
    methodKind: "unary";
    input: typeof CloseStdinRequestSchema;
    output: typeof CloseStdinResponseSchema;
  },
}>;
